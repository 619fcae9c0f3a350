"""Planted dirt is there, in the planted amounts, and nothing else is dirty."""

import pyarrow as pa
import pyarrow.compute as pc

from ml.contract.events import EVENT_TYPES
from tests.ml.simulator.conftest import OpenedShop

KEY = ["user_id", "item_id", "event_type", "occurred_at"]


def repeated(table: pa.Table, keys: list[str]) -> int:
    """Rows beyond the first of each key; rows with a null in the key do not count."""
    whole = table.filter(pc.is_valid(table[keys[0]]))
    return len(whole) - len(whole.group_by(keys).aggregate([]))


def test_about_two_percent_of_the_rows_are_dirty_besides_bots(tiny: OpenedShop):
    t = tiny.interactions
    people = t.filter(pc.fill_null(pc.invert(pc.starts_with(t["user_id"], "bot-")), True))
    unknown = pc.invert(pc.is_in(people["event_type"], value_set=pa.array([str(e) for e in EVENT_TYPES])))
    age = pc.days_between(people["occurred_at"], people["received_at"])
    found = {
        "no_user": people["user_id"].null_count,
        "no_item": people["item_id"].null_count,
        "no_time": people["occurred_at"].null_count,
        "unknown_type": pc.sum(unknown).as_py(),
        "future": pc.sum(pc.less(age, 0)).as_py(),
        "ancient": pc.sum(pc.greater(age, 730)).as_py(),
        "same_event": repeated(people, ["event_id"]),
        "same_key": repeated(people, KEY) - repeated(people, ["event_id"]),
    }
    assert all(count >= 1 for count in found.values()), found
    assert 0.005 < sum(found.values()) / len(people) < 0.025


def test_a_bot_comes_with_more_than_a_thousand_events_on_a_day(tiny: OpenedShop):
    t = tiny.interactions
    bots = t.filter(pc.fill_null(pc.starts_with(t["user_id"], "bot-"), False))
    visits = bots.group_by(["user_id", "landed_on"]).aggregate([([], "count_all")])
    assert len(visits) == 1
    assert visits["count_all"][0].as_py() > 1_000


def test_no_person_comes_near_a_bot(tiny: OpenedShop):
    busiest = tiny.clean().group_by(["user_id", "landed_on"]).aggregate([([], "count_all")])["count_all"]
    assert pc.max(busiest).as_py() < 200
