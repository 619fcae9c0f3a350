"""A small shop whose right answers are known: every user buys in one category, and buys the same few items again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from ml.bundle.write import BundleFolder, write_bundle
from ml.candidates.assemble import bundle_at
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.contract.columns import DIM_ITEM_EMBEDDINGS, DIM_ITEMS, DIM_USERS, FCT_INTERACTIONS, FEAT_ITEMS, FEAT_USERS
from ml.contract.manifest import BundleFacts
from ml.dataset.training_data import TrainingData, weekly_cuts
from ml.features.embeddings import with_embeddings
from ml.features.tower_inputs import TowerEncoder
from ml.ranking.fit import week_of_examples
from ml.ranking.settings import RankerSettings
from ml.ranking.train import train_ranker
from ml.runtime.settings import RequestSettings
from ml.runtime.towers import CANDIDATE_TOWER, QUERY_TOWER, OnnxTowers

NUM_USERS, NUM_ITEMS, NUM_CATEGORIES, NUM_DAYS = 60, 40, 4, 100
CUT = datetime(2026, 3, 2, tzinfo=UTC)
DIMENSION = 8
RANKER = RankerSettings(max_trees=20, min_rows_in_leaf=5, patience=5)
WEEKS = 4


def category_of(item: int) -> int:
    return item % NUM_CATEGORIES


def taste_of(user: int) -> int:
    return user % NUM_CATEGORIES


def user_id(user: int) -> str:
    return f"u{user:03d}"


def item_id(item: int) -> str:
    return f"i{item:03d}"


def training_data(
    *, seed: int = 0, weeks: int = WEEKS + 1, leave_out_users: int = 0, leave_out_items: int = 0
) -> TrainingData:
    """The shop at `CUT`; without its first users and items where so many are to be left out."""
    events = interactions(seed)
    cuts = weekly_cuts(CUT, weeks=weeks)
    return TrainingData.of(
        events,
        items=_items().slice(leave_out_items),
        users=_users().slice(leave_out_users),
        item_features=pa.concat_tables([_item_features(events, cut) for cut in cuts]),
        user_features=pa.concat_tables([_user_features(events, cut) for cut in cuts]),
        cut_at=CUT,
    )


def with_vectors(data: TrainingData, *, name: str = "text", length: int = 12) -> TrainingData:
    """The shop with a vector of each item that says its category, and a little of its own; item `NUM_ITEMS` - 1 has none."""
    rng = np.random.default_rng(11)
    centres = rng.normal(size=(NUM_CATEGORIES, length)) + 2.0
    rows = [
        {"item_id": id_, "name": name, "vector": centres[category_of(int(id_[1:]))] + 0.3 * rng.normal(size=length)}
        for id_ in data.items_by_row["item_id"].to_pylist()
        if id_ != item_id(NUM_ITEMS - 1)
    ]
    embeddings = pa.Table.from_pylist(rows, schema=DIM_ITEM_EMBEDDINGS).to_batches()
    return replace(data, items=with_embeddings(data.items, embeddings))


def models(data: TrainingData, folder: Path) -> Models:
    """Towers that put an item at its category's axis and a user at the mean of their history. No TensorFlow."""
    encoder = TowerEncoder.fit(users=data.users, items=data.items, history_length=10)
    write_towers(folder, encoder, data.items_by_row)
    encoder.save(folder / "vocabularies")
    return Models(encoder, OnnxTowers.open(folder))


def bundle_folder(parent: Path, *, seed: int = 0, data: TrainingData | None = None) -> BundleFolder:
    """A whole bundle, trained and written as the pipeline does it; of a shop other than the usual one if `data` is given."""
    data = training_data(seed=seed) if data is None else data
    towers = parent / "towers"
    base = models(data, towers)
    request, sources = RequestSettings(), SourceSettings()
    cuts = [int(cut.timestamp()) for cut in reversed(weekly_cuts(CUT, weeks=WEEKS)[1:])]
    weeks = [week_of_examples(data, cut, base=base, settings=RANKER, request=request, sources=sources) for cut in cuts]
    ranker = train_ranker(weeks, settings=RANKER).ranker
    learned = Models(base.encoder, base.towers, ranker)
    bundle = bundle_at(data, CUT, models=learned, settings=request, source_settings=sources)
    return write_bundle(bundle, [towers], parent / "bundles", facts=facts(len(bundle.items), len(bundle.users)))


def facts(num_items: int, num_users: int) -> BundleFacts:
    return BundleFacts(
        cut_at=CUT,
        data_start_at=CUT - timedelta(days=NUM_DAYS),
        created_at=CUT + timedelta(hours=4),
        code_version="0.1.0",
        num_items=num_items,
        num_users=num_users,
        dimension=DIMENSION,
        index_kind="exact",
        index_recall=1.0,
    )


def write_towers(folder: Path, encoder: TowerEncoder, items: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    table = rng.normal(0, 0.05, (len(encoder.items) + 1, DIMENSION)).astype(np.float32)
    for name, index in zip(items["item_id"].to_pylist(), encoder.item_indexes(items["item_id"]), strict=True):
        table[index, category_of(int(name[1:]))] += 1.0
    table[0] = 1e-3
    numbers = 1 + sum(encoder.vector_sizes)
    _save(folder / CANDIDATE_TOWER, table, {"ids": ("int32", 5), "numbers": ("float", numbers)}, _candidate_nodes())
    inputs = {
        "ids": ("int32", 3),
        "history_items": ("int32", encoder.history_length),
        "history_events": ("int32", encoder.history_length),
        "history_ages": ("float", encoder.history_length),
        "context": ("float", 4),
    }
    _save(folder / QUERY_TOWER, table, inputs, _query_nodes())


def _candidate_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", ["ids", "zero"], ["item"], axis=1),
        helper.make_node("Gather", ["table", "item"], ["found"]),
        helper.make_node("LpNormalization", ["found"], ["vector"], axis=1),
    ]


def _query_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", ["table", "history_items"], ["events"]),
        helper.make_node("ReduceSum", ["events", "one"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["vector"], axis=1),
    ]


def _save(path: Path, table: np.ndarray, inputs: dict[str, tuple[str, int]], nodes: list[onnx.NodeProto]) -> None:
    kinds = {"int32": TensorProto.INT32, "float": TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(n, kinds[kind], ["n", width]) for n, (kind, width) in inputs.items()],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", DIMENSION])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def interactions(seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    events = [event for user in range(NUM_USERS) for event in _events_of(user, rng)]
    events.sort(key=lambda event: event["occurred_at"])
    rows = [
        {
            **event,
            "event_id": f"e{number}",
            "known_at": event["occurred_at"],
            "event_weight": 5.0 if event["event_type"] == "purchase" else 1.0,
            "event_date": event["occurred_at"].date(),
        }
        for number, event in enumerate(events)
    ]
    return pa.Table.from_pylist(rows, schema=FCT_INTERACTIONS)


def _events_of(user: int, rng: np.random.Generator) -> list[dict]:
    mine = [item for item in range(NUM_ITEMS) if category_of(item) == taste_of(user)]
    staples = rng.permutation(mine)[:3]
    events = []
    for day in range(int(rng.integers(0, 5)), NUM_DAYS, 4):
        at = (CUT - timedelta(days=NUM_DAYS - day)).replace(tzinfo=None) + timedelta(
            hours=9, minutes=int(rng.integers(600))
        )
        item = int(rng.choice(staples) if rng.random() < 0.6 else rng.choice(mine))
        common = {"user_id": user_id(user), "item_id": item_id(item), "basket_id": f"{user}-{day}"}
        events.append(
            {**common, "event_type": "view", "occurred_at": at, "quantity": None, "price": None, "amount": None}
        )
        bought = {"quantity": 1.0, "price": 10.0 + item, "amount": 10.0 + item}
        events.append({**common, "event_type": "purchase", "occurred_at": at + timedelta(minutes=5), **bought})
    return events


def _items() -> pa.Table:
    opened = (CUT - timedelta(days=NUM_DAYS + 1)).replace(tzinfo=None)
    rows = [
        {
            "item_id": item_id(item),
            "title": f"Item {item}",
            "category": f"c{category_of(item)}",
            "price": 10.0 + item,
            "created_at": opened,
            "first_seen_at": opened,
            "is_active": True,
            "stock": 0 if item == NUM_ITEMS - 1 else 5,
        }
        for item in range(NUM_ITEMS)
    ]
    return pa.Table.from_pylist(rows, schema=DIM_ITEMS)


def _users() -> pa.Table:
    return pa.Table.from_pylist(
        [{"user_id": user_id(user), "country": "AT"} for user in range(NUM_USERS)], schema=DIM_USERS
    )


def _item_features(interactions: pa.Table, cut: datetime) -> pa.Table:
    return _counted(interactions, "item_id", FEAT_ITEMS, cut, "purchases_all")


def _user_features(interactions: pa.Table, cut: datetime) -> pa.Table:
    return _counted(interactions, "user_id", FEAT_USERS, cut, "events_all")


def _counted(interactions: pa.Table, key: str, schema: pa.Schema, cut: datetime, count: str) -> pa.Table:
    """Counts alone: enough for features whose meaning another test guards."""
    naive = cut.replace(tzinfo=None)
    past = interactions.filter(pa.compute.less(interactions["occurred_at"], pa.scalar(naive, pa.timestamp("us"))))
    counts = past.group_by(key).aggregate([("event_id", "count")])
    rows = [{"cut_at": naive, key: row[key], count: float(row["event_id_count"])} for row in counts.to_pylist()]
    return pa.Table.from_pylist(rows, schema=schema)
