"""A trained retriever as files: a SavedModel for TensorFlow Serving, ONNX graphs for our own service."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ml.contract.types import Floats
from ml.features.tower_inputs import ITEM_ATTRIBUTES
from ml.retrieval.trained import TARGET, VOCABULARIES, TrainedRetriever
from ml.runtime.dense import WIDEST, HeadLayers
from ml.runtime.query_tower import QueryWeights, table_file
from ml.runtime.towers import CANDIDATE_TOWER, QUERY_TOWER, RATING_HEAD, RATING_LAYERS

SAVED_MODEL = "saved_model"
CATALOGUE = f"{SAVED_MODEL}/assets.extra/catalogue.arrow"
"""The items the SavedModel searches, as the candidate tower saw them. TensorFlow leaves `assets.extra` to us."""
CATALOGUE_COLUMNS = ("item_id", *ITEM_ATTRIBUTES, "price")
SEEN = "seen_numbers"
"""Column of `CandidateInputs.numbers`, where items have vectors."""
OPSET = 17
CANDIDATE_ITEMS = "candidate_items.npy"
"""What the candidate tower learned of each item."""


def export_retriever(trained: TrainedRetriever, folder: Path, *, catalogue: pa.Table) -> None:
    """Everything a bundle needs of the retriever.

    `saved_model/` answers `serving_default` and, when the recipe rates, `serve_ranking`; beside it what `export_graphs` writes.

    Args:
        catalogue: columns of `DIM_ITEMS`; every one of these items can be retrieved, whether training saw it or not.
    """
    from ml.retrieval.serving_model import write_saved_model

    export_graphs(trained, folder)
    write_saved_model(trained, folder / SAVED_MODEL, catalogue=catalogue)
    path = folder / CATALOGUE
    path.parent.mkdir(parents=True, exist_ok=True)
    crossed = (name for cross in trained.encoder.item_crosses for name in cross.columns)
    kept = catalogue.select(list(dict.fromkeys((*CATALOGUE_COLUMNS, *crossed)))).combine_chunks()
    if trained.encoder.directions:
        # What the tower sees of a vector, not the vector, of which it is a small part.
        numbers = trained.encoder.candidates(catalogue).numbers
        column = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), numbers.shape[1])
        kept = kept.append_column(SEEN, column)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, kept.schema) as writer:
        writer.write_table(kept)


def export_graphs(trained: TrainedRetriever, folder: Path) -> None:
    """`query_tower.onnx` with `query_tower.npz`, `candidate_tower.onnx`, the tables these look up in, `vocabularies/`; and when the recipe
    rates `rating_head.onnx`, `rating_head.npz` and `target.json`."""
    trained.encoder.save(folder / VOCABULARIES)
    for file, layer in {**_query_files(trained), **_candidate_files(trained)}.items():
        np.save(folder / file, _embeddings(layer))
    _write_query_tower(trained, folder / QUERY_TOWER)
    # The graph answers where events look at each other, and where the recipe crosses users' attributes.
    if trained.settings.history_encoder == "pooled" and not trained.encoder.user_crosses:
        query_weights(trained).save_layers(folder)
    _write_candidate_tower(trained, folder / CANDIDATE_TOWER)
    if trained.target is not None:
        (folder / TARGET).write_text(trained.target.model_dump_json(indent=1))
        _write_rating_head(trained, folder / RATING_HEAD)
        # The graph answers for a wider one, and for one that says more than value and conversion.
        if max(trained.settings.rating_layers) <= WIDEST and not trained.settings.click_weight:
            head_layers(trained).save(folder / RATING_LAYERS)


def _write_query_tower(trained: TrainedRetriever, path: Path) -> None:
    from ml.retrieval.towers import QueryTensors, query_specs

    tower = trained.model.query_tower

    def query_tower(*parts: Any) -> dict[str, Any]:
        return {"vector": tower(QueryTensors(*parts))}

    _write_graph(query_tower, query_specs(trained.encoder), path, tables=_query_files(trained))


def _write_candidate_tower(trained: TrainedRetriever, path: Path) -> None:
    from ml.retrieval.towers import CandidateTensors, candidate_specs

    tower = trained.model.candidate_tower

    def candidate_tower(*parts: Any) -> dict[str, Any]:
        return {"vector": tower(CandidateTensors(*parts))}

    _write_graph(candidate_tower, candidate_specs(trained.encoder), path, tables=_candidate_files(trained))


def _query_tables(trained: TrainedRetriever) -> dict[str, Any]:
    """The embedding layers of `QueryWeights`, by their names there."""
    tower = trained.model.query_tower
    given = None if tower.preference is None else tower.preference.item_vectors
    tables = {"users": tower.user_table, "items": tower.history.item_table, **_factors(trained), "given": given}
    return {name: layer for name, layer in tables.items() if layer is not None}


def _query_files(trained: TrainedRetriever) -> dict[str, Any]:
    return {table_file(name): layer for name, layer in _query_tables(trained).items()}


def _candidate_files(trained: TrainedRetriever) -> dict[str, Any]:
    factors = {table_file(name): layer for name, layer in _factors(trained).items()}
    return {CANDIDATE_ITEMS: trained.model.candidate_tower.item_table, **factors}


def _factors(trained: TrainedRetriever) -> dict[str, Any]:
    """Which both towers look up in."""
    factors = trained.model.factors
    return {} if factors is None else {"factors": factors.table}


def _write_rating_head(trained: TrainedRetriever, path: Path) -> None:
    from ml.retrieval.serving_model import predictions
    from ml.retrieval.towers import rating_specs

    def rating_head(query: Any, candidates: Any) -> dict[str, Any]:
        found = predictions(trained, query, candidates)
        named = {"value": found.value, "value_normalized": found.value_normalized, "conversion": found.conversion}
        return named if found.click is None else {**named, "click": found.click}

    _write_graph(rating_head, rating_specs(trained.settings.tower_dim), path, tables={})


def query_weights(trained: TrainedRetriever) -> QueryWeights:
    """The query tower's weights as the kernel takes them."""
    tower = trained.model.query_tower
    history = tower.history
    ones = np.ones(history.num_events, np.float32)
    return QueryWeights(
        **{name: _embeddings(layer) for name, layer in _query_tables(trained).items()},
        place_scores=history.place_scores.numpy(),
        event_scores=history.event_scores.numpy()[:, 0],
        event_signs=ones if history.event_signs is None else history.event_signs.numpy()[:, 0],
        event_vectors=history.event_vectors.numpy(),
        content_score=history.content_score.kernel.numpy()[:, 0],
        age_score=history.age_score.numpy().reshape(1),
        interest=tower.interest.kernel.numpy(),
        layers=tuple((layer.kernel.numpy(), layer.bias.numpy()) for layer in tower.mlp.layers),
        attributes=tuple(map(_embeddings, tower.attributes)),
        **_factor_weights(tower.factors),
        **_given_weights(tower),
    )


def _factor_weights(factors: Any) -> dict[str, Any]:
    if factors is None:
        return {}
    from ml.retrieval.towers import FACTORS_AT_MOST

    return {"factor_weight": np.full(1, factors.weight / FACTORS_AT_MOST, np.float32)}


def _given_weights(tower: Any) -> dict[str, Any]:
    """Of the vectors the shop has of its items."""
    preference = tower.preference
    if preference is None:
        return {}
    return {
        "given_sizes": np.asarray(preference.sizes, np.float32),
        "likes": preference.likes,
        "projection": np.concatenate([projection.kernel.numpy() for projection in tower.vectors.projections]),
    }


def _embeddings(table: Any) -> Floats:
    found: Floats = table.embeddings.numpy()
    return found


def head_layers(trained: TrainedRetriever) -> HeadLayers:
    """The rating head's weights as the kernel takes them."""
    head = trained.model.rating_head
    return HeadLayers.of(
        query=(head.of_query.kernel.numpy(), head.of_query.bias.numpy()),
        candidate=head.of_candidate.kernel.numpy(),
        product=head.of_product.kernel.numpy(),
        after=[(layer.kernel.numpy(), layer.bias.numpy()) for layer in (*head.hidden, head.answers)],
    )


def _write_graph(function: Any, specs: list[Any], path: Path, *, tables: Mapping[str, Any]) -> None:
    """A function of tensors as an ONNX file.

    Args:
        tables: embedding layers the function looks up in, by their files beside `path`. They are inputs while tf2onnx
            converts, which copies a constant dozens of times: with 100 thousand items and 20 thousand users (30 MB of tables) it
            took 18 s and 1.7 GB; a million items would not fit. The file then names where they lie.
    """
    import onnx
    import tf2onnx

    from ml.retrieval.legacy_keras import tf

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    files, layers = {Path(file).stem: path.with_name(file) for file in tables}, list(tables.values())
    shapes = [tf.TensorSpec(layer.embeddings.shape, tf.float32, n) for n, layer in zip(files, layers, strict=True)]

    def of_tables(*inputs: Any) -> Any:
        with _looking_up(layers, inputs[len(specs) :]):
            return function(*inputs[: len(specs)])

    graph, _ = tf2onnx.convert.from_function(tf.function(of_tables), input_signature=[*specs, *shapes], opset=OPSET)
    inputs = [given for given in graph.graph.input if given.name not in files]
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    graph.graph.initializer.extend(_table_in(file, name) for name, file in files.items())
    onnx.save(graph, str(path))


def _table_in(path: Path, name: str) -> Any:
    """A table as ONNX's external data: the numbers stay in the file that `np.save` wrote, where the kernel reads them too.

    With their checksum in it, the hash of a graph is one of its tables as well.
    """
    import onnx

    table = np.load(path, mmap_mode="r")
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=table.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    where = {"location": path.name, "offset": table.offset, "length": table.nbytes, "checksum": sha1(table).hexdigest()}
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@contextmanager
def _looking_up(tables: Sequence[Any], tensors: Sequence[Any]) -> Iterator[None]:
    """Inside it the embedding layers look up in these tensors."""
    kept = [layer.embeddings for layer in tables]
    try:
        for layer, tensor in zip(tables, tensors, strict=True):
            # Past Keras's own attribute setter, which would track the tensor as part of the layer.
            vars(layer)["embeddings"] = tensor
        yield
    finally:
        for layer, variable in zip(tables, kept, strict=True):
            vars(layer)["embeddings"] = variable
