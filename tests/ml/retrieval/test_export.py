"""The two exported forms: the five classic mistakes of two-stage exports, and equality of both forms."""

import shutil
from dataclasses import replace
from hashlib import sha1
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from ml.features.history import History
from ml.features.transforms import TargetTransform, cyclical_time
from ml.runtime.query_tower import QUERY_WEIGHTS
from ml.runtime.towers import CANDIDATE_TOWER, QUERY_TOWER, OnnxTowers
from tests import world
from tests.ml.retrieval import shop
from tools import build_kernel

pytestmark = pytest.mark.tf
QUERY_NAMES = {
    "user_id",
    "country",
    "segment",
    "history_item_ids",
    "history_event_types",
    "history_age_days",
    "requested_at",
}


@pytest.fixture(scope="module")
def saved_model(exported: Path):
    from ml.retrieval.parity import load_saved_model

    return load_saved_model(exported)


def call(saved_model, name: str, **inputs) -> dict[str, np.ndarray]:
    from ml.retrieval.parity import call_signature

    return call_signature(saved_model, name, **inputs)


def moments(*user_ids: str, bought: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Requests in plain words; all users just bought the same."""
    b, length = len(user_ids), shop.SETTINGS.history_length
    padded = [*bought, *[""] * (length - len(bought))]
    events = ["purchase" if name else "" for name in padded]
    return {
        "user_id": np.array(user_ids),
        "country": np.array(["AT"] * b),
        "segment": np.array([""] * b),
        "history_item_ids": np.array([padded] * b),
        "history_event_types": np.array([events] * b),
        "history_age_days": np.full((b, length), 0.5, np.float32),
        "requested_at": np.full(b, shop.CUT, np.int64),
    }


def decoded(product_ids: np.ndarray) -> np.ndarray:
    return np.char.decode(product_ids.astype(bytes), "utf-8")


def test_retrieval_returns_the_catalogues_own_ids_in_order_of_score(saved_model, trained, catalogue):
    found = call(saved_model, "serving_default", **moments("u001", bought=("i001",)))

    history = History(
        *(np.array([x], t) for x, t in ((1, np.int32), (0, np.int8), (shop.CUT - 43_200, np.int64), (1, np.float32)))
    )
    users = pa.table({"user_id": ["u001"], "country": ["AT"], "segment": [""]})
    by_row = pa.array([world.item_id(i) for i in range(world.NUM_ITEMS)])
    inputs = trained.encoder.query(
        trained.encoder.user_ids(users)[0], history, item_indexes=trained.encoder.item_indexes(by_row), at=shop.CUT
    )
    scores = (trained.query_vectors(inputs) @ trained.item_vectors(catalogue).T)[0]
    best = np.argsort(-scores)[: shop.SETTINGS.top_k]
    assert decoded(found["product_ids"])[0].tolist() == catalogue["item_id"].take(best).to_pylist()
    assert found["scores"][0] == pytest.approx(scores[best], abs=1e-5)


def test_retrieval_asks_for_query_features_only(saved_model):
    inputs = saved_model.signatures["serving_default"].structured_input_signature[1]

    assert set(inputs) == QUERY_NAMES


def test_ranking_asks_for_the_same_and_the_products(saved_model):
    inputs = saved_model.signatures["serve_ranking"].structured_input_signature[1]

    assert set(inputs) == {*QUERY_NAMES, "product_ids"}


def test_every_item_of_the_catalogue_can_be_retrieved(trained, catalogue, tmp_path):
    from ml.retrieval.export import export_retriever
    from ml.retrieval.parity import load_saved_model

    wide = replace(trained, settings=trained.settings.model_copy(update={"top_k": 10_000}))
    export_retriever(wide, tmp_path, catalogue=catalogue)

    found = call(load_saved_model(tmp_path), "serving_default", **moments("u001", "a stranger"))

    for ids in decoded(found["product_ids"]).tolist():
        assert sorted(ids) == sorted(catalogue["item_id"].to_pylist())
    assert "brand-new" in ids


def test_predictions_come_back_in_original_units_by_the_fitted_parameters(saved_model, exported):
    products = np.array([[world.item_id(1), world.item_id(37)]])

    found = call(saved_model, "serve_ranking", **moments("u001"), product_ids=products)

    fitted = TargetTransform.model_validate_json((exported / "target.json").read_text())
    assert found["predictions"] == pytest.approx(fitted.inverse(found["predictions_normalized"]), rel=1e-5)
    assert not np.allclose(found["predictions"], found["predictions_normalized"])
    assert (fitted.low, fitted.high) != (0, 0)


def test_inputs_are_plain_named_tensors_of_any_batch_size(saved_model):
    for user_ids in (("u001",), ("u001", "u002", "a stranger")):
        found = call(saved_model, "serving_default", **moments(*user_ids))
        assert found["product_ids"].shape == found["scores"].shape == (len(user_ids), shop.SETTINGS.top_k)
        rated = call(
            saved_model,
            "serve_ranking",
            **moments(*user_ids),
            product_ids=np.array([["i001", "i002", "i003"]] * len(user_ids)),
        )
        assert {name: value.shape for name, value in rated.items()} == dict.fromkeys(
            ("predictions", "predictions_normalized", "conversion"), (len(user_ids), 3)
        )


def test_a_request_is_answered_alike_alone_and_in_a_batch(saved_model):
    together = call(saved_model, "serving_default", **moments("u001", "u002"))
    alone = call(saved_model, "serving_default", **moments("u002"))

    assert together["scores"][1] == pytest.approx(alone["scores"][0], abs=1e-6)


def test_an_event_just_now_changes_the_list(saved_model):
    before = call(saved_model, "serving_default", **moments("a stranger"))
    after = call(saved_model, "serving_default", **moments("a stranger", bought=("i003", "i007")))

    assert decoded(before["product_ids"]).tolist() != decoded(after["product_ids"]).tolist()
    top = [world.category_of(int(name[1:])) for name in decoded(after["product_ids"])[0, :4] if name != "brand-new"]
    assert top.count(3) >= 3


def test_both_forms_say_the_same(exported):
    from ml.retrieval.parity import largest_difference

    assert largest_difference(exported) <= 1e-5


def test_a_graph_of_another_model_is_noticed(exported, data, tmp_path):
    from ml.retrieval.export import export_graphs
    from ml.retrieval.parity import largest_difference
    from ml.retrieval.train import train_retriever

    settings = shop.SETTINGS.model_copy(update={"seed": 9, "epochs": 1})
    export_graphs(train_retriever(shop.examples(data), settings), tmp_path / "other")
    mixed = shutil.copytree(exported, tmp_path / "mixed")
    shutil.copy(tmp_path / "other" / QUERY_TOWER, mixed / QUERY_TOWER)

    assert largest_difference(mixed) > 1e-3


def test_compiled_weights_of_another_model_are_noticed(exported, data, tmp_path):
    from ml.retrieval.export import export_graphs
    from ml.retrieval.parity import largest_difference
    from ml.retrieval.train import train_retriever

    assert build_kernel.build(), "This test needs a C compiler: apt-get install gcc libc6-dev"
    settings = shop.SETTINGS.model_copy(update={"seed": 9, "epochs": 1})
    export_graphs(train_retriever(shop.examples(data), settings), tmp_path / "other")
    mixed = shutil.copytree(exported, tmp_path / "mixed")
    shutil.copy(tmp_path / "other" / QUERY_WEIGHTS, mixed / QUERY_WEIGHTS)

    assert largest_difference(mixed) > 1e-3


@pytest.mark.parametrize("changed", [{}, {"weighted_history": True}, {"tower_layers": (24, 12)}, {"factor_dim": 0}])
def test_the_compiled_query_tower_gives_the_vectors_of_its_graph(exported, data, tmp_path, changed):
    """To 1e-6, of known users and strangers with histories of every length."""
    from ml.retrieval.export import export_graphs
    from ml.retrieval.parity import DrawnRequests, compiled_difference
    from ml.retrieval.train import train_retriever

    assert build_kernel.build(), "This test needs a C compiler: apt-get install gcc libc6-dev"
    trained = train_retriever(shop.examples(data), shop.SETTINGS.model_copy(update={"epochs": 1, **changed}))
    export_graphs(trained, tmp_path)
    tower = OnnxTowers.open(tmp_path).compiled_query
    assert tower is not None
    tower.weights.require_of(trained.encoder, "this test")

    assert compiled_difference(tmp_path, DrawnRequests.draw(exported, num_requests=64, seed=3)) <= 1e-6


def test_a_tower_whose_events_look_at_each_other_is_left_to_its_graph(data, tmp_path):
    from ml.retrieval.export import export_graphs
    from ml.retrieval.train import train_retriever

    settings = shop.SETTINGS.model_copy(update={"epochs": 1, "history_encoder": "self_attention"})
    trained = train_retriever(shop.examples(data), settings)
    export_graphs(trained, tmp_path)
    towers = OnnxTowers.open(tmp_path)
    assert towers.compiled_query is None
    inputs = shop.query_inputs(trained, data)
    assert towers.query(inputs) == pytest.approx(trained.query_vectors(inputs), abs=1e-5)


@pytest.mark.parametrize(
    ("graph", "tables"),
    [(QUERY_TOWER, {"query_users", "query_items"}), (CANDIDATE_TOWER, {"candidate_items"})],
)
def test_a_graph_names_its_tables_and_what_is_in_them_but_holds_none(exported, graph, tables):
    """Vectors of items are kept under the hash of the graph, which so is one of its tables too."""
    told = {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in onnx.load(exported / graph, load_external_data=False).graph.initializer
        if tensor.external_data
    }
    assert {name: where["location"] for name, where in told.items()} == {
        name: f"{name}.npy" for name in tables | {"query_factors"}
    }
    for name, where in told.items():
        table = np.load(exported / f"{name}.npy")
        assert where["checksum"] == sha1(table).hexdigest()
        assert int(where["length"]) == table.nbytes


def test_time_in_the_graph_is_time_in_the_features():
    from ml.retrieval.serving_model import _cyclical_time

    at = np.array([0, 1, 86_399, 1_767_225_600, 1_900_000_001], np.int64)

    assert _cyclical_time(at).numpy() == pytest.approx(cyclical_time(at), abs=1e-6)


def test_a_retrieval_only_recipe_exports_no_ranking(data, tmp_path):
    from ml.retrieval.export import export_retriever
    from ml.retrieval.parity import largest_difference, load_saved_model
    from ml.retrieval.train import train_retriever

    settings = shop.SETTINGS.model_copy(update={"model_type": "retrieval", "epochs": 1})
    export_retriever(train_retriever(shop.examples(data), settings), tmp_path, catalogue=data.items)

    assert set(load_saved_model(tmp_path).signatures) == {"serving_default"}
    assert not OnnxTowers.open(tmp_path).has_head
    assert largest_difference(tmp_path) <= 1e-5


def test_the_export_needs_no_place_of_its_own(exported, tmp_path):
    from ml.retrieval.parity import largest_difference

    assert largest_difference(shutil.copytree(exported, tmp_path / "moved")) <= 1e-5


def test_the_services_towers_give_the_vectors_and_predictions_that_were_trained(exported, trained, data):
    towers, encoder = OnnxTowers.open(exported), trained.encoder
    vectors = towers.candidates(encoder.candidates(data.items))
    queries = shop.query_vectors(trained, data)
    pairs = trained.predict(np.repeat(queries[:1], len(vectors), axis=0), vectors)

    rated, by_graph = towers.rate(queries[0], vectors), towers.rate_by_graph(queries[0], vectors)

    assert towers.head is not None
    for name in ("value", "value_normalized", "conversion"):
        assert getattr(rated, name) == pytest.approx(getattr(by_graph, name), rel=1e-5, abs=1e-6)
    assert vectors == pytest.approx(trained.item_vectors(data.items), abs=1e-5)
    assert rated.value == pytest.approx(pairs.value, rel=1e-5)
    assert rated.value_normalized == pytest.approx(pairs.value_normalized, abs=1e-5)
    assert rated.conversion == pytest.approx(pairs.conversion, abs=1e-5)
