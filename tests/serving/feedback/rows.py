"""Rows to write down."""

from datetime import UTC, datetime

from ml.contract.events import EventType
from serving.feedback import Interaction, ShownItem, ShownList
from serving.feedback.records import microseconds

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
NOW_US = microseconds(NOW)
SECOND, DAY = 1_000_000, 86_400_000_000


def event(event_id: str, **facts) -> Interaction:
    at_us = facts.pop("at_us", NOW_US)
    defaults = {"item_id": "i001", "event_type": EventType.VIEW, "user_id": "u", "received_at_us": at_us}
    return Interaction(event_id=event_id, occurred_at_us=at_us, **{**defaults, **facts})


def shown(request_id: str, *item_ids: str, **facts) -> ShownList:
    items = tuple(ShownItem(item_id, place, "ease", 1.0) for place, item_id in enumerate(item_ids, start=1))
    defaults = {"surface": "homepage", "bundle_version": "v1", "shown_at_us": NOW_US, "user_id": "u"}
    return ShownList(request_id=request_id, items=items, **{**defaults, **facts})
