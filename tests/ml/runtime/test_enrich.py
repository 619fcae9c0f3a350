"""Features of candidates, worked out by hand."""

import numpy as np
import pytest

from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.enrich import FEATURES, OWN, own_features
from ml.runtime.recommend import ranking_inputs
from tests import world

NOW = 1_000 * SECONDS_PER_DAY


def history(*events: tuple[int, EventType, float]) -> History:
    """Of (item row, event type, days ago), oldest first."""
    rows, types, ages = zip(*events, strict=True)
    return History(
        np.array(rows, np.int32),
        np.array([event_type.code for event_type in types], np.int8),
        np.array([NOW - int(age * SECONDS_PER_DAY) for age in ages], np.int64),
        np.full(len(rows), 2.0, np.float32),
    )


MINE = history(
    (7, EventType.PURCHASE, 30),
    (7, EventType.VIEW, 25),
    (3, EventType.VIEW, 22),
    (7, EventType.PURCHASE, 20),
    (7, EventType.RETURN, 19),
)


def own(name: str, row: int) -> float:
    return float(own_features(MINE, np.array([row], np.int32), at=NOW)[0, OWN.index(name)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("purchases", 2),
        ("purchase_days", 2),
        ("quantity", 2 + 2),
        ("views", 1),
        ("returns", 1),
        ("weight_30d", 5 * np.exp(-30 / 30) + np.exp(-25 / 30) + 5 * np.exp(-20 / 30) - 3 * np.exp(-19 / 30)),
        ("days_since_last", 19),
        ("days_since_first", 30),
        ("days_since_purchase", 20),
        ("days_between_purchases", 30 - 20),
        ("due", 20 / (30 - 20)),
    ],
)
def test_what_the_user_did_with_the_item(name, expected):
    assert own(name, 7) == pytest.approx(expected, rel=1e-5)


def test_an_item_only_looked_at_was_never_bought():
    assert own("purchases", 3) == 0
    assert np.isnan(own("days_since_purchase", 3))
    assert np.isnan(own("due", 3))


@pytest.mark.parametrize("row", [0, 5, 99])
def test_an_item_never_touched_has_counts_of_zero_and_unknown_instants(row):
    values = own_features(MINE, np.array([row], np.int32), at=NOW)[0]
    assert (values[:9] == 0).all()
    assert np.isnan(values[9:]).all()


def test_two_lines_of_one_order_are_one_occasion():
    twice = history((1, EventType.PURCHASE, 5.0), (1, EventType.PURCHASE, 5.0))
    values = own_features(twice, np.array([1], np.int32), at=NOW)[0]
    assert values[OWN.index("purchases")] == 2
    assert values[OWN.index("purchase_days")] == 1


def test_every_feature_has_a_name_and_a_column(bundle):
    user = bundle.users.of(world.user_id(0))
    candidates, features = ranking_inputs(bundle, user, user.history, at=int(world.CUT.timestamp()))
    assert features.shape == (len(candidates.rows), len(FEATURES))
    assert features.dtype == np.float32
    assert len(set(FEATURES)) == len(FEATURES)


def test_columns_stand_under_their_names(bundle):
    """A column out of place would train and serve alike, and mean something else to whoever reads an explanation."""
    user = bundle.users.of(world.user_id(0))
    candidates, features = ranking_inputs(bundle, user, user.history, at=int(world.CUT.timestamp()))

    def column(name: str) -> np.ndarray:
        return features[:, FEATURES.index(name)]

    np.testing.assert_allclose(column("item_price"), np.log(bundle.items.price[candidates.rows]), rtol=1e-5)
    np.testing.assert_allclose(
        column("item_purchases_all"), bundle.items.table["purchases_all"].to_numpy()[candidates.rows]
    )
    assert (column("history_length") == len(user.history)).all()
    assert (column("user_events_all") == len(user.history)).all()
    mine = bundle.items.categories[candidates.rows] == bundle.items.categories[bundle.items.row(world.item_id(0))]
    np.testing.assert_allclose(column("affinity_category"), mine.astype(float), atol=1e-6)
    assert column("hour_cos")[0] == pytest.approx(1.0)
