"""Start from what an earlier retriever learned, though users and items have come and gone since."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.contract.errors import ContractError, RecipeError
from ml.contract.types import Rows
from ml.features.tower_inputs import PRICE_BUCKETS, TowerEncoder
from ml.features.vocabulary import Vocabulary
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import TrainedRetriever

if TYPE_CHECKING:
    from ml.retrieval.multitask import MultitaskModel

SHAPE = (
    "model_type",
    "embedding_dim",
    "factor_dim",
    "tower_layers",
    "rating_layers",
    "rating_loss",
    "history_length",
    "history_encoder",
    "weighted_history",
    "vector_dim",
    "learn_temperature",
)


def carry_over(base: TrainedRetriever, model: "MultitaskModel", encoder: TowerEncoder) -> None:
    """Copy `base`'s weights into `model`. A user or item new to it starts as what the base made of the unknown.

    Raises:
        RecipeError: the two recipes do not have the same shape.
        ContractError: the two encoders see items' vectors along other directions.
    """
    _require_same_shape(base.settings, model.settings)
    _require_same_directions(base.encoder, encoder)
    rows = dict(zip(_table_names(model), _old_rows(base.encoder, encoder), strict=True))
    for variable, old in zip(model.trainable_variables, base.model.trainable_variables, strict=True):
        values = old.numpy()
        variable.assign(values[rows[variable.ref()]] if variable.ref() in rows else values)


def _table_names(model: "MultitaskModel") -> list[Any]:
    """The tables indexed by a vocabulary: of users and their attributes, of items and theirs."""
    query, candidate = model.query_tower, model.candidate_tower
    layers = [query.user_table, *query.attributes, candidate.item_table, *candidate.attributes]
    return [layer.embeddings.ref() for layer in layers]


def _old_rows(old: TowerEncoder, new: TowerEncoder) -> list[Rows]:
    """For each of those tables, in their order: which old row each new row starts from."""
    categories = _old_indexes(old.item_attributes["category"], new.item_attributes["category"])
    buckets = np.arange(PRICE_BUCKETS + 1)
    return [
        _old_indexes(old.users, new.users),
        *(_old_indexes(old.user_attributes[name], vocabulary) for name, vocabulary in new.user_attributes.items()),
        _old_indexes(old.items, new.items),
        *(_old_indexes(old.item_attributes[name], vocabulary) for name, vocabulary in new.item_attributes.items()),
        (categories[:, None] * len(buckets) + buckets).reshape(-1).astype(np.int32),
    ]


def _old_indexes(old: Vocabulary, new: Vocabulary) -> Rows:
    """Old embedding index of each new one; 0, "unknown", stays 0 and is where the newcomers start."""
    return np.concatenate([[0], old.rows(new.ids) + 1]).astype(np.int32)


def _require_same_shape(old: RetrieverSettings, new: RetrieverSettings) -> None:
    differing = [name for name in SHAPE if getattr(old, name) != getattr(new, name)]
    if differing:
        raise RecipeError(
            f"Training can go on only with the same {', '.join(SHAPE)}. Received: other values of {', '.join(differing)}. "
            "Train without `warm_start`."
        )


def _require_same_directions(old: TowerEncoder, new: TowerEncoder) -> None:
    same = list(old.directions) == list(new.directions) and all(
        np.array_equal(each.axes, new.directions[name].axes) for name, each in old.directions.items()
    )
    if not same:
        raise ContractError(
            "Training can go on only along the directions of vectors it began with. "
            f"Received: an encoder of {list(new.directions) or 'none'} after one of {list(old.directions) or 'none'}, fitted anew. "
            "Fit `TowerEncoder` with `like`, the encoder of the retriever that training goes on from."
        )
