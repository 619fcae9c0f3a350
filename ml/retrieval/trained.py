"""A trained retriever: what it learned, and the functions it computes."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ml.contract.errors import ContractError, RecipeError
from ml.contract.types import Floats
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder
from ml.features.transforms import TargetTransform
from ml.retrieval.settings import RetrieverSettings
from ml.runtime.towers import HeadPredictions

if TYPE_CHECKING:
    from ml.retrieval.multitask import MultitaskModel

BLOCK = 8_192
VOCABULARIES = "vocabularies"
TARGET = "target.json"


class WeightSummary(BaseModel):
    """All weights of one part of the model, at the end of an epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str
    mean: float
    std: float


class EpochReport(BaseModel):
    """One pass over the examples: means of the losses while learning, NaN for a loss the recipe leaves out."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    epoch: int
    loss: float
    retrieval_loss: float
    rating_loss: float
    conversion_loss: float
    click_loss: float | None = None
    weights: tuple[WeightSummary, ...]

    def losses(self) -> dict[str, float]:
        """Those the recipe has."""
        names = ("loss", "retrieval_loss", "rating_loss", "conversion_loss", "click_loss")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None and np.isfinite(value)}

    def numbers(self) -> dict[str, float]:
        """Losses and weights by name: `weights.query_tower.std` say."""
        means = {f"weights.{part.part}.mean": part.mean for part in self.weights}
        return {**self.losses(), **means, **{f"weights.{part.part}.std": part.std for part in self.weights}}


EPOCH_REPORTS = TypeAdapter(tuple[EpochReport, ...])


@dataclass(frozen=True)
class TrainedRetriever:
    """Towers, rating head and everything fitted that their inputs and outputs need."""

    encoder: TowerEncoder
    settings: RetrieverSettings
    target: TargetTransform | None
    """None for `model_type: retrieval`."""
    model: "MultitaskModel"
    epochs: tuple[EpochReport, ...]

    def query_vectors(self, inputs: QueryInputs) -> Floats:
        """Unit vectors of moments of users `[n, d]`."""
        return _in_blocks(self._query_function, [getattr(inputs, part.name) for part in fields(QueryInputs)])

    def item_vectors(self, items: pa.Table) -> Floats:
        """Unit vectors of a table with the columns of `DIM_ITEMS`, in its order `[n, d]`. New items too."""
        return self.candidate_vectors(self.encoder.candidates(items))

    def candidate_vectors(self, inputs: CandidateInputs) -> Floats:
        """Unit vectors of encoded items `[n, d]`."""
        return _in_blocks(self._candidate_function, [inputs.ids, inputs.numbers])

    def predict(self, query_vectors: Floats, item_vectors: Floats) -> HeadPredictions:
        """Predictions of pairs: query i with item i. `[n, d], [n, d] -> [n]`

        Raises:
            RecipeError: the model was trained without a rating head.
        """
        if self.model.rating_head is None or self.target is None:
            raise RecipeError(
                "Predictions need a rating head. Received: `model_type: retrieval`. Train with `model_type: multitask`."
            )
        answer, *logits = (each.numpy() for each in self._rating_function(query_vectors, item_vectors))
        normalised = self.target.normalised(answer)
        return HeadPredictions(
            value=self.target.inverse(normalised).astype(np.float32),
            value_normalized=normalised,
            **dict(zip(("conversion", "click"), map(_probability, logits), strict=False)),
        )

    def answers(self, query_vectors: Floats, item_vectors: Floats) -> Floats:
        """What the rating head says of the target of pairs, before it is put into the target's units `[n]`."""
        answer: Floats = self._rating_function(query_vectors, item_vectors)[0].numpy()
        return answer

    def save(self, folder: Path) -> None:
        """A folder with plain files; nothing pickled."""
        self.encoder.save(folder / VOCABULARIES)
        (folder / "settings.json").write_text(self.settings.model_dump_json(indent=1))
        (folder / "epochs.json").write_bytes(EPOCH_REPORTS.dump_json(self.epochs, indent=1))
        if self.target is not None:
            (folder / TARGET).write_text(self.target.model_dump_json(indent=1))
        np.savez(folder / "weights.npz", allow_pickle=False, **named_weights(self.model))

    @classmethod
    def load(cls, folder: Path) -> Self:
        from ml.retrieval.multitask import MultitaskModel

        encoder = TowerEncoder.load(folder / VOCABULARIES)
        settings = RetrieverSettings.model_validate_json((folder / "settings.json").read_text())
        target = folder / TARGET
        model = MultitaskModel(encoder, settings)
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            set_named_weights(model, dict(stored))
        return cls(
            encoder=encoder,
            settings=settings,
            target=TargetTransform.model_validate_json(target.read_text()) if target.exists() else None,
            model=model,
            epochs=EPOCH_REPORTS.validate_json((folder / "epochs.json").read_bytes()),
        )

    @cached_property
    def _query_function(self) -> Any:
        from ml.retrieval.towers import QueryTensors, query_specs

        return _compiled(lambda *parts: self.model.query_tower(QueryTensors(*parts)), query_specs(self.encoder))

    @cached_property
    def _candidate_function(self) -> Any:
        from ml.retrieval.towers import CandidateTensors, candidate_specs

        return _compiled(
            lambda *parts: self.model.candidate_tower(CandidateTensors(*parts)), candidate_specs(self.encoder)
        )

    @cached_property
    def _rating_function(self) -> Any:
        from ml.retrieval.towers import rating_specs

        return _compiled(self.model.rating_head, rating_specs(self.settings.tower_dim))


def named_weights(model: Any) -> dict[str, Floats]:
    """Every array that was learned or fitted under its place and name: `007.query_tower/users/embeddings`."""
    return {
        f"{place:03d}.{variable.name.split(':')[0]}": variable.numpy() for place, variable in enumerate(model.weights)
    }


def set_named_weights(model: Any, weights: dict[str, Floats]) -> None:
    """The inverse of `named_weights`, for a model of the same recipe and encoder.

    Raises:
        ContractError: they are of a model with other parts.
    """
    if len(weights) != len(model.weights):
        raise ContractError(
            f"This recipe's retriever has {len(model.weights)} arrays of weights. Received: {len(weights)}, of another version or recipe. "
            "Materialise `ml/retriever` again."
        )
    for variable, (_, value) in zip(model.weights, sorted(weights.items()), strict=True):
        variable.assign(value)


def _probability(logits: Floats) -> Floats:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _compiled(function: Any, specs: list[Any]) -> Any:
    """A graph traced once for any number of rows: traces by shape differ in their last bit."""
    from ml.retrieval.legacy_keras import tf

    return tf.function(lambda *inputs: function(*inputs), input_signature=specs)


def _in_blocks(function: Any, arrays: list[NDArray[Any]]) -> Floats:
    """A function of rows over many rows, in bounded memory."""
    blocks = [
        function(*(array[start : start + BLOCK] for array in arrays)).numpy()
        for start in range(0, max(len(arrays[0]), 1), BLOCK)
    ]
    return np.concatenate(blocks)
