"""A contest's past as the snapshot that training sees: what the warehouse would have made of the same events.

A set brings users, items and events, and attributes where it has them. Features are those of `marts.feat_items` and `marts.feat_users`,
computed here by one query each, since a contest needs no dirt removed; a test holds them against dbt's.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.leaderboard.contest import Contest
from ml.contract.columns import DIM_ITEMS, DIM_USERS, ENCODED_EVENTS, FEAT_ITEMS, FEAT_USERS
from ml.contract.events import DECAY_DAYS, EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Rows, Seconds
from ml.dataset.event_shards import EventShards
from ml.dataset.split import WEEK, SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog

CUT = datetime(2024, 1, 1, tzinfo=UTC)
"""Where the past of a set without instants is made to end."""
LATELY = 1 / 6
"""Share of each user's events that such a set is given as the newest ones, at least one."""


def asked_at(contest: Contest) -> datetime:
    """When a contest asks."""
    return datetime.fromtimestamp(contest.past.cut, UTC) if contest.has_times else CUT


def snapshot(contest: Contest, settings: SplitSettings) -> tuple[TrainingData, TimeSplit]:
    """All that Aisle is given of a contest, and how its time is divided."""
    cut_at = asked_at(contest)
    # The graph holds back a week to judge by; here the contest has done so already, and that week is the one after the cut.
    split = TimeSplit.at(cut_at + timedelta(days=settings.test_days), settings)
    data = training_data(
        contest,
        cuts=[cut_at, *(datetime.fromtimestamp(cut, UTC) for cut in reversed(split.ranker_cuts))],
        oldest_day=(split.test.start - split.train.start) // SECONDS_PER_DAY,
        recent_days=(split.test.start - split.ranker_cuts[0]) // SECONDS_PER_DAY,
    )
    return data, split


def training_data(contest: Contest, *, cuts: Sequence[datetime], oldest_day: int, recent_days: int) -> TrainingData:
    """The past of a contest, features at every one of `cuts`; the first is when the contest asks.

    Args:
        oldest_day: the first day before the cut that a set without instants is spread over.
        recent_days: its newest events fall on so many last days.
    """
    log = contest.past.log
    if not contest.has_times:
        spread = (oldest_day * SECONDS_PER_DAY, recent_days * SECONDS_PER_DAY)
        log = dated(log, until=int(cuts[0].timestamp()), oldest=spread[0], recent=spread[1])
    events = encoded(log)
    items, users = _dimension("item", contest.past.num_items), _dimension("user", contest.past.num_log_users)
    for name, values in contest.attributes.items():
        items[name] = values
    return TrainingData(
        events=EventShards.of(events),
        items=_table(
            items | {"first_seen_at": _first_seen(log.item_rows, log.occurred_at, contest.past.num_items)}, DIM_ITEMS
        ),
        users=_table(users, DIM_USERS),
        item_features=item_features(events, cuts),
        user_features=user_features(events, cuts),
        cut_at=cuts[0],
    )


def dated(log: InteractionLog, *, until: int, oldest: int, recent: int) -> InteractionLog:
    """Events without instants on a calendar: in each user's own order where there is one, at random where there is none.

    The last sixth of each user's events falls on random instants of one of the weeks of the `recent` seconds before `until`, drawn for each
    user; the others are spread evenly from `oldest` seconds before it on. So a random, or the last, part of what a user did is one later week,
    which a time split holds back: what the ranker learns on was never learned by the base towers, and holds as many goals of a user as the
    contest has, not one in eight weeks each. No event is added, and none of the test is there.
    """
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(log)), log.occurred_at, log.user_rows))
    users = log.user_rows[order]
    place = np.arange(len(users)) - np.searchsorted(users, users)
    counts = np.bincount(users)[users]
    num_recent = np.maximum(np.round(counts * LATELY), 1)
    at = until - oldest + (place + 0.5) / np.maximum(counts - num_recent, 1) * (oldest - recent)
    lately = place >= counts - num_recent
    owners = users[lately]
    drawn = np.sort(owners + rng.random(len(owners))) - owners  # ascending within each user: the order stays
    weeks = recent // WEEK
    week_of = rng.integers(weeks, size=int(users.max(initial=0)) + 1)
    at[lately] = until - (weeks - week_of[owners] - drawn) * WEEK
    occurred_at = np.empty(len(log), np.int64)
    occurred_at[order] = np.minimum(at, until - 1).astype(np.int64)
    by_time = np.argsort(occurred_at, kind="stable")
    return replace(log, occurred_at=occurred_at, known_at=occurred_at).where(by_time)


def encoded(log: InteractionLog) -> pa.Table:
    """A table with the columns of `ENCODED_EVENTS`."""
    amount = log.amount.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        price = amount / log.quantity
    columns = {
        "user_row": log.user_rows,
        "item_row": log.item_rows,
        "event_code": log.event_codes,
        "occurred_at": log.occurred_at * 1_000_000,
        "known_at": log.known_at * 1_000_000,
        "quantity": log.quantity.astype(np.float64),
        "price": pa.array(price, mask=~np.isfinite(price)),
        "amount": pa.array(amount, mask=~np.isfinite(amount)),
        "basket_number": log.basket_rows,
    }
    return pa.table({name: columns[name] for name in ENCODED_EVENTS.names}).cast(ENCODED_EVENTS)


def item_features(events: pa.Table, cuts: Sequence[datetime]) -> pa.Table:
    """`FEAT_ITEMS` at each cut."""
    return _features(
        """
        select cut_at, printf('i%07d', item_row) as item_id,
            count(*) filter (purchase and event_date >= cut_date - 7) as purchases_7d,
            count(*) filter (purchase and event_date >= cut_date - 30) as purchases_30d,
            count(*) filter (purchase) as purchases_all,
            count(distinct user_row) filter (purchase and event_date >= cut_date - 30) as buyers_30d,
            count(distinct user_row) filter (purchase) as buyers_all,
            count(*) filter (event_type = 'view' and event_date >= cut_date - 30) as views_30d,
            count(*) filter (event_type = 'cart_add' and event_date >= cut_date - 30) as cart_adds_30d,
            count(*) filter (event_type = 'return') as returns_all,
            round(sum(weight), 6) as weight_decayed,
            purchases_7d / (purchases_all + 1) as trending,
            coalesce(purchases_30d / nullif(views_30d + purchases_30d, 0), 0) as conversion_30d,
            max(age_days) as days_since_first_event,
            min(age_days) filter (purchase) as days_since_last_purchase,
            round(avg(price) filter (purchase), 6) as mean_price
        from known group by all
        """,
        events,
        cuts,
        FEAT_ITEMS,
    )


def user_features(events: pa.Table, cuts: Sequence[datetime]) -> pa.Table:
    """`FEAT_USERS` at each cut. `favourite_category` is left out: nothing that is learned reads it."""
    return _features(
        """
        select cut_at, printf('u%07d', user_row) as user_id,
            count(*) as events_all,
            count(*) filter (purchase and event_date >= cut_date - 30) as purchases_30d,
            count(*) filter (purchase) as purchases_all,
            count(*) filter (event_type = 'view' and event_date >= cut_date - 30) as views_30d,
            count(*) filter (event_type = 'cart_add' and event_date >= cut_date - 30) as cart_adds_30d,
            count(distinct case when basket_number >= 0 then cast(basket_number as varchar) else 'on ' || event_date end)
                filter (purchase) as orders_all,
            count(distinct item_row) as distinct_items,
            coalesce((purchases_all - count(distinct item_row) filter (purchase)) / nullif(purchases_all, 0), 0) as repeat_share,
            coalesce(purchases_30d / nullif(views_30d + purchases_30d, 0), 0) as conversion_30d,
            round(avg(price) filter (purchase), 6) as mean_price,
            max(age_days) as days_since_first_event,
            min(age_days) as days_since_last_event,
            null as favourite_category
        from known group by all
        """,
        events,
        cuts,
        FEAT_USERS,
    )


def _features(select: str, events: pa.Table, cuts: Sequence[datetime], schema: pa.Schema) -> pa.Table:
    weights = [EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES]
    names = [str(event_type) for event_type in EVENT_TYPES]
    with duckdb.connect() as connection:
        connection.execute("set threads = 1").fetchall()
        connection.register("events", events)
        connection.register(
            "cuts", pa.table({"cut_at": pa.array([cut.replace(tzinfo=None) for cut in cuts], pa.timestamp("us"))})
        )
        connection.register(
            "kinds", pa.table({"event_code": range(len(names)), "event_type": names, "event_weight": weights})
        )
        known = f"""
            select events.*, cuts.cut_at, cast(cuts.cut_at as date) as cut_date, cast(occurred_at as date) as event_date,
                event_type, event_type = '{EventType.PURCHASE}' as purchase,
                (epoch_us(cuts.cut_at) - epoch_us(occurred_at)) / 86400000000.0 as age_days,
                event_weight * exp(-(age_days) / {DECAY_DAYS}) as weight
            from events inner join kinds using (event_code) inner join cuts on events.known_at < cuts.cut_at
        """
        found = connection.sql(f"with known as ({known}) {select} order by 1, 2").to_arrow_table()
    return found.cast(schema)


def _dimension(kind: str, count: int) -> dict[str, list[str]]:
    """Ids whose order is that of the rows."""
    return {f"{kind}_id": [f"{kind[0]}{row:07d}" for row in range(count)]}


def _first_seen(rows: Rows, at: Seconds, count: int) -> pa.Array:
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, rows, at)
    never = first == np.iinfo(np.int64).max
    return pa.array(np.where(never, 0, first * 1_000_000), pa.timestamp("us"), mask=never)


def _table(columns: dict[str, object], schema: pa.Schema) -> pa.Table:
    """The columns given, the others null."""
    size = len(next(iter(columns.values())))  # type: ignore[arg-type]
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(size, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)
