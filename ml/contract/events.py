"""The kinds of event a shop records, their codes in arrays and their weights."""

from enum import StrEnum
from math import exp

DECAY_DAYS = 30.0
"""An event's weight falls by a factor e every so many days."""


class EventType(StrEnum):
    """What a person did. The order is the code stored in arrays: append, never reorder."""

    PURCHASE = "purchase"
    CART_ADD = "cart_add"
    WISHLIST_ADD = "wishlist_add"
    RECOMMENDATION_CLICK = "recommendation_click"
    CLICK = "click"
    VIEW = "view"
    FAVORITE = "favorite"
    CART_REMOVE = "cart_remove"
    RETURN = "return"

    @property
    def code(self) -> int:
        return EVENT_TYPES.index(self)


EVENT_TYPES: tuple[EventType, ...] = tuple(EventType)

EVENT_WEIGHTS: dict[EventType, float] = {
    EventType.PURCHASE: 5.0,
    EventType.CART_ADD: 3.0,
    EventType.WISHLIST_ADD: 2.0,
    EventType.FAVORITE: 2.0,
    EventType.RECOMMENDATION_CLICK: 1.5,
    EventType.CLICK: 1.0,
    EventType.VIEW: 1.0,
    EventType.CART_REMOVE: -1.0,
    EventType.RETURN: -3.0,
}
"""Interest shown by one event. The dbt variable `event_weights` says the same; a test holds the two together."""


def decayed_weight(event_type: EventType, *, age_days: float) -> float:
    """Weight of one event `age_days` ago: w · exp(-days / 30).

    >>> round(decayed_weight(EventType.PURCHASE, age_days=30), 3)
    1.839
    """
    return EVENT_WEIGHTS[event_type] * exp(-age_days / DECAY_DAYS)
