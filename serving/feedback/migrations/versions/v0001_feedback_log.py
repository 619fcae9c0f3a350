"""The first tables: interactions, requests, impressions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "interactions",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(32)),
        sa.Column("session_id", sa.String(32)),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("event_type", sa.String(32), nullable=False),
        sa.Column("occurred_at_us", sa.BigInteger, nullable=False),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Float),
        sa.Column("price", sa.Float),
        sa.Column("order_id", sa.String(256)),
        sa.Column("request_id", sa.String(64)),
        sa.UniqueConstraint("event_id", name="uq_interactions_event_id"),
    )
    for column in ("received_at_us", "occurred_at_us", "request_id"):
        op.create_index(f"ix_interactions_{column}", "interactions", [column])
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(32)),
        sa.Column("session_id", sa.String(32)),
        sa.Column("surface", sa.String(32), nullable=False),
        sa.Column("bundle_version", sa.String(128), nullable=False),
        sa.Column("shown_at_us", sa.BigInteger, nullable=False),
        sa.Column("stages_ms", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
    )
    op.create_index("ix_requests_shown_at_us", "requests", ["shown_at_us"])
    op.create_table(
        "impressions",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(32)),
        sa.Column("session_id", sa.String(32)),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("shown_at_us", sa.BigInteger, nullable=False),
        sa.Column("surface", sa.String(32), nullable=False),
        sa.Column("bundle_version", sa.String(128), nullable=False),
        sa.Column("propensity", sa.Float),
        sa.Column("source", sa.String(32), nullable=False),
        sa.UniqueConstraint("request_id", "item_id", name="uq_impressions_request_id_item_id"),
    )
    op.create_index("ix_impressions_shown_at_us", "impressions", ["shown_at_us"])


def downgrade() -> None:
    for table in ("impressions", "requests", "interactions"):
        op.drop_table(table)
