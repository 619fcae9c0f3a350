"""What came of what was shown: counted in the log, by the same SQL in SQLite and PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import CTE, ColumnElement, Connection, Select, and_, case, func, or_, select, union_all

from ml.contract.events import EventType
from serving.feedback.records import instant_of, microseconds
from serving.feedback.schema import impressions, interactions

CLICKS = (EventType.RECOMMENDATION_CLICK, EventType.CLICK)
VIEWS = (EventType.VIEW, *CLICKS)
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Period:
    """Whole days, UTC, both included."""

    first: date
    last: date

    @property
    def start_us(self) -> int:
        return microseconds(datetime.combine(self.first, time(), UTC))

    @property
    def end_us(self) -> int:
        return microseconds(datetime.combine(self.last + timedelta(days=1), time(), UTC))


@dataclass(frozen=True)
class Performance:
    """Lists of one day, surface and bundle. All but `lists` and the sums counts places: an item in a list."""

    day: date
    surface: str
    bundle_version: str
    lists: int
    impressions: int
    clicks: int
    """Places clicked at least once; the next two likewise."""
    cart_adds: int
    purchases: int
    revenue: float | None
    """Price times quantity of what was bought from these places; None when no purchase among it has a price."""
    purchases_without_price: int
    """Events that `revenue` lacks."""


@dataclass(frozen=True)
class FunnelStep:
    """Who came this far, in the order of the steps."""

    step: str
    visitors: int
    """Distinct users, or sessions of nobody known."""
    pairs: int
    """Distinct pairs of a visitor and an item."""


def performance(connection: Connection, period: Period, *, window: timedelta) -> list[Performance]:
    """Lists of a period and what came of them, counted on the day the list was shown.

    An event counts for the place it names: its `request_id` and item. A cart add or a purchase that names none counts for the place
    the same visitor clicked last for the same item, if that was within `window` before.
    """
    outcomes = _outcomes(period, window).subquery()
    amount = func.sum(case((outcomes.c.event_type == EventType.PURCHASE, outcomes.c.amount)))
    unpriced = and_(outcomes.c.event_type == EventType.PURCHASE, outcomes.c.amount.is_(None))
    of_place = (
        select(
            outcomes.c.impression_id,
            _any(outcomes.c.event_type.in_(CLICKS)).label("clicked"),
            _any(outcomes.c.event_type == EventType.CART_ADD).label("in_cart"),
            _any(outcomes.c.event_type == EventType.PURCHASE).label("bought"),
            amount.label("revenue"),
            func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
        )
        .group_by(outcomes.c.impression_id)
        .subquery()
    )
    day = (impressions.c.shown_at_us // _DAY_US).label("day")
    key = (day, impressions.c.surface, impressions.c.bundle_version)
    counted = (
        select(
            *key,
            func.count(impressions.c.request_id.distinct()).label("lists"),
            func.count().label("impressions"),
            *(func.coalesce(func.sum(of_place.c[name]), 0).label(name) for name in ("clicked", "in_cart", "bought")),
            func.sum(of_place.c.revenue).label("revenue"),
            func.coalesce(func.sum(of_place.c.unpriced), 0).label("unpriced"),
        )
        .select_from(impressions.outerjoin(of_place, of_place.c.impression_id == impressions.c.id))
        .where(*_within(impressions.c.shown_at_us, period))
        .group_by(*key)
        .order_by(*key)
    )
    return [
        Performance(
            day=instant_of(row.day * _DAY_US).date(),
            surface=row.surface,
            bundle_version=row.bundle_version,
            lists=row.lists,
            impressions=row.impressions,
            clicks=int(row.clicked),
            cart_adds=int(row.in_cart),
            purchases=int(row.bought),
            revenue=None if row.revenue is None else float(row.revenue),
            purchases_without_price=int(row.unpriced),
        )
        for row in connection.execute(counted)
    ]


def conversion_funnel(connection: Connection, period: Period) -> tuple[list[FunnelStep], int]:
    """Who viewed an item, then put it into the cart, then bought it, all in one period; and pairs that were bought on another way."""
    event = interactions.c
    visitor = func.coalesce(event.user_id, event.session_id).label("visitor")
    events = (
        select(visitor, event.item_id, event.event_type, event.occurred_at_us)
        .where(*_within(event.occurred_at_us, period))
        .cte("events")
    )
    viewed = _first(events, events.c.event_type.in_(VIEWS)).cte("viewed")
    in_cart = _first_after(viewed, events, EventType.CART_ADD).cte("in_cart")
    bought = _first_after(in_cart, events, EventType.PURCHASE).cte("bought")
    steps = [
        _counted(connection, name, cte) for name, cte in (("view", viewed), ("cart_add", in_cart), ("purchase", bought))
    ]
    at_all = _first(events, events.c.event_type == EventType.PURCHASE).cte("at_all")
    return steps, _counted(connection, "at_all", at_all).pairs - steps[-1].pairs


def _outcomes(period: Period, window: timedelta) -> Select[tuple[int, str, float | None]]:
    """`impression_id`, `event_type`, `amount` of every event that counts for a place."""
    event, place = interactions.alias("event").c, impressions.c
    amount = (event.price * func.coalesce(event.quantity, 1.0)).label("amount")
    named = (
        select(
            event.id.label("event_number"), event.user_id, event.session_id, event.item_id, event.event_type,
            event.occurred_at_us, amount, place.id.label("impression_id"),
        )
        .join_from(event.id.table, impressions, and_(event.request_id == place.request_id, event.item_id == place.item_id))
        .where(place.shown_at_us >= period.start_us)
        .cte("named")
    )  # fmt: skip
    later = interactions.alias("later").c
    clicked = named.alias("clicked")
    by_the_same = or_(later.user_id == clicked.c.user_id, later.session_id == clicked.c.session_id)
    since_click = later.occurred_at_us - clicked.c.occurred_at_us
    touched = (
        select(
            clicked.c.impression_id,
            later.event_type,
            (later.price * func.coalesce(later.quantity, 1.0)).label("amount"),
            func.row_number()
            .over(partition_by=later.id, order_by=(clicked.c.occurred_at_us.desc(), clicked.c.event_number.desc()))
            .label("place"),
        )
        .join_from(later.id.table, clicked, and_(later.item_id == clicked.c.item_id, by_the_same))
        .where(
            clicked.c.event_type.in_(CLICKS),
            later.event_type.in_((EventType.CART_ADD, EventType.PURCHASE)),
            since_click.between(0, window // timedelta(microseconds=1)),
            later.id.not_in(select(named.c.event_number)),
        )
        .subquery()
    )
    last_touch = select(touched.c.impression_id, touched.c.event_type, touched.c.amount).where(touched.c.place == 1)
    return select(union_all(select(named.c.impression_id, named.c.event_type, named.c.amount), last_touch).subquery())


def _first(events: CTE, condition: ColumnElement[bool]) -> Select[tuple[str, str, int]]:
    """When each pair first met the condition."""
    return (
        select(events.c.visitor, events.c.item_id, func.min(events.c.occurred_at_us).label("at_us"))
        .where(condition)
        .group_by(events.c.visitor, events.c.item_id)
    )


def _first_after(before: CTE, events: CTE, event_type: EventType) -> Select[tuple[str, str, int]]:
    """When each pair first did this, at or after the step before."""
    same_pair = and_(events.c.visitor == before.c.visitor, events.c.item_id == before.c.item_id)
    return (
        select(events.c.visitor, events.c.item_id, func.min(events.c.occurred_at_us).label("at_us"))
        .join_from(before, events, same_pair)
        .where(events.c.event_type == event_type, events.c.occurred_at_us >= before.c.at_us)
        .group_by(events.c.visitor, events.c.item_id)
    )


def _counted(connection: Connection, name: str, pairs: CTE) -> FunnelStep:
    visitors, number = connection.execute(
        select(func.count(pairs.c.visitor.distinct()), func.count()).select_from(pairs)
    ).one()
    return FunnelStep(name, visitors, number)


def _within(instant_us: ColumnElement[int], period: Period) -> Iterator[ColumnElement[bool]]:
    yield instant_us >= period.start_us
    yield instant_us < period.end_us


def _any(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.max(case((condition, 1), else_=0))
