"""Milliseconds to score 500 candidates with 300 trees, on one core, by every way we know.

    python -m benchmarks.ranker [home]

Trees with 31 and with 63 leaves, learned on random numbers (every branch is a surprise) and, where a home is named whose `ranker` asset
is made, on that shop's own ranking examples and asked about its own requests. All take turns in one process; the median of CPU time counts, which
other work on the machine disturbs least, and the largest difference from LightGBM's score.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml.candidates.models import StoredRetriever
from ml.contract.types import Floats
from ml.dataset.outcomes import OUTCOMES
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.experiments.recipe import Recipe
from ml.ranking.examples import RankingExamples
from ml.ranking.fit import week_of_examples
from ml.ranking.settings import RankerSettings
from ml.ranking.train import lightgbm_parameters
from ml.ranking.worth import grades
from ml.runtime.forest import Forest
from ml.runtime.kernel import compiled

TREES, ROWS, RANDOM_FEATURES, ROUNDS = 300, 500, 100, 60

Scorer = Callable[[Floats], NDArray[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, nargs="?")
    home = parser.parse_args().home
    os.sched_setaffinity(0, {0})
    examples = {"random numbers": random_examples(), **({"the shop": shop_examples(home)} if home else {})}
    print("| examples | leaves | scored by | ms | against LightGBM | largest difference |\n|---|---|---|---|---|---|")
    for name, learned in examples.items():
        for num_leaves in (31, 63):
            booster = trained(learned, num_leaves)
            for line in compared(booster, requests(learned)):
                print(f"| {name} | {num_leaves} | {line} |", flush=True)


def random_examples() -> RankingExamples:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60_000, RANDOM_FEATURES)).astype(np.float32)
    liking = features[:, :10].sum(axis=1) + np.sin(3 * features[:, 10:40]).sum(axis=1)
    bought = liking + rng.normal(size=len(features)) > 8
    outcomes = np.repeat(bought[:, None], len(OUTCOMES), axis=1).astype(np.float32)
    return RankingExamples(features, outcomes, np.full(len(features) // ROWS, ROWS, np.int32))


def shop_examples(home: Path) -> RankingExamples:
    """What the shop's ranker learns from, with all candidates of each request."""
    made, recipe = home / "artifacts" / "ml", Recipe()
    data, base = TrainingData.load(made / "training_examples"), StoredRetriever.load(made / "retriever").base
    settings = recipe.ranker.model_copy(update={"negatives_per_user": ROWS, "max_users_per_week": 100})
    cuts = TimeSplit.at(data.cut_at, recipe.split, since=data.start_at).ranker_cuts
    return RankingExamples.joined(
        [
            week_of_examples(data, cut, base=base, settings=settings, request=recipe.request, sources=recipe.sources)
            for cut in cuts
        ]
    )


def trained(examples: RankingExamples, num_leaves: int) -> lightgbm.Booster:
    settings = RankerSettings(num_leaves=num_leaves)
    labels = grades(examples.outcomes, settings)
    data = lightgbm.Dataset(examples.features, labels, group=examples.group_sizes)
    return lightgbm.train(lightgbm_parameters(settings), data, TREES)


def requests(examples: RankingExamples) -> list[Floats]:
    """Forty requests of ROWS candidates; where a request has fewer, its first ones come twice."""
    ends = examples.group_sizes.cumsum()
    largest = np.sort(np.argsort(-examples.group_sizes, kind="stable")[:40])
    groups = (examples.features[ends[i] - examples.group_sizes[i] : ends[i]] for i in largest)
    return [np.ascontiguousarray(np.resize(group, (ROWS, group.shape[1]))) for group in groups]


def compared(booster: lightgbm.Booster, asked: list[Floats]) -> Iterator[str]:
    ways = scorers(booster)
    reference = [ways["LightGBM"](rows) for rows in asked]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, score in ways.items():
            started = time.thread_time()
            score(asked[number % len(asked)])
            seconds[name].append(time.thread_time() - started)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, score in ways.items():
        difference = max(np.abs(score(rows) - said).max() for rows, said in zip(asked, reference, strict=True))
        yield f"{name} | {median[name] * 1e3:.2f} | {median['LightGBM'] / median[name]:.1f}x | {difference:.1g}"


def scorers(booster: lightgbm.Booster) -> dict[str, Scorer]:
    forest, kernel = Forest.parse(booster.model_to_string()), compiled()
    if kernel is None:
        raise SystemExit("The kernel is not built: python -m tools.build_kernel")
    single, double = onnx_scorer(booster, np.float32), onnx_scorer(booster, np.float64)
    return {
        "LightGBM": lambda rows: booster.predict(rows, num_threads=1),
        "kernel": lambda rows: forest.scores(rows, kernel.score_forest),
        "ONNX Runtime, float": single,
        "ONNX Runtime, double": double,
    }


def onnx_scorer(booster: lightgbm.Booster, dtype: type) -> Scorer:
    """The forest as a TreeEnsembleRegressor; in float the thresholds are rounded to float32."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes: dict[str, list[Any]] = {name: [] for name in NODE_ATTRIBUTES}
    leaves: list[tuple[int, int, float]] = []
    for number, tree in enumerate(booster.dump_model()["tree_info"]):
        _add_nodes(tree["tree_structure"], number, nodes, leaves)
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes |= {"target_treeids": [leaf[0] for leaf in leaves], "target_nodeids": [leaf[1] for leaf in leaves]}
    values, weights = np.array(attributes.pop("nodes_values")), np.array([leaf[2] for leaf in leaves])
    if dtype is np.float64:
        attributes |= {"nodes_values_as_tensor": numpy_helper.from_array(values)}
        attributes |= {"target_weights_as_tensor": numpy_helper.from_array(weights)}
    else:
        nearest = values.astype(np.float32)
        down = np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
        attributes |= {"nodes_values": down.tolist(), "target_weights": weights.tolist()}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["rows"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        target_ids=[0] * len(leaves),
        **attributes,
    )
    kind = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    given = helper.make_tensor_value_info("rows", kind, [None, booster.num_feature()])
    said = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([node], "forest", [given], [said])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"rows": rows.astype(dtype, copy=False)})[0][:, 0]


NODE_ATTRIBUTES = (
    "treeids",
    "nodeids",
    "featureids",
    "values",
    "modes",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _add_nodes(
    node: dict[str, Any], tree: int, nodes: dict[str, list[Any]], leaves: list[tuple[int, int, float]]
) -> int:
    """Adds a node and all below it; its number."""
    number = nodes["nodeids"][-1] + 1 if nodes["treeids"] and nodes["treeids"][-1] == tree else 0
    place = len(nodes["nodeids"])
    is_leaf = "leaf_value" in node
    goes_left = node.get("default_left", False) if node.get("missing_type") == "NaN" else node.get("threshold", 0) >= 0
    values = (
        tree,
        number,
        node.get("split_feature", 0),
        node.get("threshold", 0.0),
        "LEAF" if is_leaf else "BRANCH_LEQ",
    )
    for name, value in zip(NODE_ATTRIBUTES, (*values, 0, 0, int(goes_left)), strict=True):
        nodes[name].append(value)
    if is_leaf:
        leaves.append((tree, number, node["leaf_value"]))
    else:
        nodes["truenodeids"][place] = _add_nodes(node["left_child"], tree, nodes, leaves)
        nodes["falsenodeids"][place] = _add_nodes(node["right_child"], tree, nodes, leaves)
    return number


if __name__ == "__main__":
    main()
