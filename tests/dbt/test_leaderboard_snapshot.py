"""The leaderboard computes features without dbt: they must be dbt's."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.leaderboard.snapshot import item_features, user_features
from ml.contract.columns import FCT_INTERACTIONS, ITEM_FEATURES, USER_FEATURES
from ml.dataset.event_shards import encode
from ml.features.vocabulary import Vocabulary
from tests.dbt.shop import CUTS, DbtHome


@pytest.mark.parametrize(
    ("kind", "features", "names"), [("item", item_features, ITEM_FEATURES), ("user", user_features, USER_FEATURES)]
)
def test_features_of_a_contest_are_those_of_the_warehouse(built: DbtHome, kind, features, names) -> None:
    expected = built.table(f"select * from marts.feat_{kind}s order by cut_at, {kind}_id")
    events = built.table("select * from marts.fct_interactions").cast(FCT_INTERACTIONS)
    vocabularies = {key: Vocabulary.fit(events[f"{key}_id"].to_pylist()) for key in ("user", "item")}
    encoded = encode(events, users=vocabularies["user"], items=vocabularies["item"])
    found = features(encoded, [datetime.fromisoformat(cut).replace(tzinfo=UTC) for cut in CUTS])

    rows = [int(name[1:]) for name in found[f"{kind}_id"].to_pylist()]
    assert vocabularies[kind].ids.take(pa.array(rows)).to_pylist() == expected[f"{kind}_id"].to_pylist()
    assert pc.all(pc.equal(found["cut_at"], expected["cut_at"])).as_py()
    assert len(found) > 10
    for name in names:
        ours, theirs = (table[name].fill_null(-1).to_numpy() for table in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6, err_msg=name)
