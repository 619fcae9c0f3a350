"""Tables of the feedback log, the same in SQLite and PostgreSQL. Instants are integers (microseconds since 1970, UTC): one meaning in both."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

HEAD = "0001"
"""The newest migration; a test holds it to the files in `migrations/versions`."""

metadata = MetaData()

# SQLite numbers rows by itself only in a column of exactly this type.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

interactions = Table(
    "interactions",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("event_id", String(128), nullable=False),
    Column("user_id", String(32)),
    Column("session_id", String(32)),
    Column("item_id", String(256), nullable=False),
    Column("event_type", String(32), nullable=False),
    Column("occurred_at_us", BigInteger, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
    Column("quantity", Float),
    Column("price", Float),
    Column("order_id", String(256)),
    Column("request_id", String(64)),
    UniqueConstraint("event_id", name="uq_interactions_event_id"),
    Index("ix_interactions_received_at_us", "received_at_us"),
    Index("ix_interactions_occurred_at_us", "occurred_at_us"),
    Index("ix_interactions_request_id", "request_id"),
)
"""One row per event; `event_id` makes sending it twice harmless."""

requests = Table(
    "requests",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("user_id", String(32)),
    Column("session_id", String(32)),
    Column("surface", String(32), nullable=False),
    Column("bundle_version", String(128), nullable=False),
    Column("shown_at_us", BigInteger, nullable=False),
    Column("stages_ms", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Index("ix_requests_shown_at_us", "shown_at_us"),
)
"""One row per list; `stages_ms` and `trace` are JSON."""

impressions = Table(
    "impressions",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    Column("user_id", String(32)),
    Column("session_id", String(32)),
    Column("item_id", String(256), nullable=False),
    Column("position", Integer, nullable=False),
    Column("shown_at_us", BigInteger, nullable=False),
    Column("surface", String(32), nullable=False),
    Column("bundle_version", String(128), nullable=False),
    Column("propensity", Float),
    Column("source", String(32), nullable=False),
    UniqueConstraint("request_id", "item_id", name="uq_impressions_request_id_item_id"),
    Index("ix_impressions_shown_at_us", "shown_at_us"),
)
"""One row per item of a list."""
