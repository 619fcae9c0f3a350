"""Training: ids already integers, order a pure function of (seed, epoch), a checkpoint after every epoch."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import ContractError
from ml.contract.types import Floats
from ml.dataset.examples import RetrievalExamples, require_examples
from ml.dataset.stream import batches, num_batches
from ml.features.tower_inputs import QueryInputs
from ml.features.transforms import TargetTransform
from ml.retrieval.checkpoint import Checkpoint, fingerprint
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import EpochReport, TrainedRetriever, WeightSummary, named_weights
from ml.storage import ObjectStore

if TYPE_CHECKING:
    from ml.retrieval.multitask import Batch, MultitaskModel

OnEpoch = Callable[[EpochReport], None]
WARM_UP_SHARE = 0.1


def train_retriever(
    examples: RetrievalExamples,
    settings: RetrieverSettings,
    *,
    checkpoint_folder: Path | None = None,
    checkpoint_store: ObjectStore | None = None,
    warm_start: TrainedRetriever | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainedRetriever:
    """The retriever learned from `examples` and nothing else.

    Args:
        checkpoint_folder: a run killed and called again with the same arguments goes on after its last whole epoch and
            ends with the weights the uninterrupted run would have ended with.
        checkpoint_store: keeps the checkpoint too, so that the run may be called again on another machine.
        warm_start: go on from this retriever for `carry_on_epochs` instead of beginning anew for `epochs`.
        on_epoch: called after every epoch, once its checkpoint is on disk.

    Raises:
        DataError: there is nothing to learn from, or the target is never known.
        RecipeError: `warm_start` has another shape.
    """
    from ml.retrieval.carry_over import carry_over
    from ml.retrieval.multitask import MultitaskModel

    require_examples(examples)
    _require_history_length(examples, settings)
    target = _target(examples, settings, warm_start)
    num_epochs = settings.epochs if warm_start is None else settings.carry_on_epochs
    model = MultitaskModel(examples.encoder, settings)
    if warm_start is not None:
        carry_over(warm_start, model, examples.encoder)
    started_from = named_weights(model)
    model.compile(_optimizer(settings, num_epochs * num_batches(len(examples), batch_size=settings.batch_size)))
    reports = _run_epochs(
        model,
        _Arrays.of(examples, target),
        num_epochs=num_epochs,
        checkpoint=_checkpoint(checkpoint_folder, checkpoint_store, examples, settings, started_from),
        on_epoch=on_epoch,
    )
    return TrainedRetriever(examples.encoder, settings, target, model, reports)


@dataclass(frozen=True)
class _Arrays:
    """The examples as training steps take them."""

    examples: RetrievalExamples
    log_q: Floats
    target: Floats
    target_known: Floats

    @classmethod
    def of(cls, examples: RetrievalExamples, target: TargetTransform | None) -> Self:
        known = np.isfinite(examples.target)
        values = target.apply(examples.target) if target is not None else np.zeros_like(examples.target)
        with np.errstate(divide="ignore"):  # log 0 of an item without examples: no step ever asks for it
            log_q = np.log(examples.item_shares)
        return cls(examples, log_q, np.where(known, values, 0).astype(np.float32), known.astype(np.float32))

    def take(self, positions: NDArray[np.int64]) -> "Batch":
        from ml.retrieval.multitask import Batch
        from ml.retrieval.towers import CandidateTensors, QueryTensors

        examples = self.examples
        item_rows = examples.item_rows[positions]
        return Batch(
            query=QueryTensors(*(getattr(examples.queries, part.name)[positions] for part in fields(QueryInputs))),
            candidate=CandidateTensors(examples.candidates.ids[item_rows], examples.candidates.numbers[item_rows]),
            item_rows=item_rows,
            log_q=self.log_q[item_rows],
            weight=examples.weight[positions],
            target=self.target[positions],
            target_known=self.target_known[positions],
            is_purchase=examples.is_purchase[positions].astype(np.float32),
        )


def _run_epochs(
    model: "MultitaskModel",
    arrays: _Arrays,
    *,
    num_epochs: int,
    checkpoint: Checkpoint | None,
    on_epoch: OnEpoch | None,
) -> tuple[EpochReport, ...]:
    from ml.retrieval.legacy_keras import tf

    step = tf.function(model.train_step)
    reports = list(checkpoint.restore(model)) if checkpoint else []
    for epoch in range(len(reports), num_epochs):
        reports.append(_run_epoch(model, step, arrays, epoch=epoch))
        if checkpoint:
            checkpoint.write(model, reports)
        if on_epoch:
            on_epoch(reports[-1])
    return tuple(reports)


def _run_epoch(model: "MultitaskModel", step: Any, arrays: _Arrays, *, epoch: int) -> EpochReport:
    settings = model.settings
    model.reset_metrics()
    total, steps = 0.0, 0
    for positions in batches(len(arrays.examples), batch_size=settings.batch_size, seed=settings.seed, epoch=epoch):
        total += float(step(arrays.take(positions))["total_loss"])
        steps += 1
    means = {name: float(mean.result()) if mean.count.numpy() else float("nan") for name, mean in model.means.items()}
    return EpochReport(
        epoch=epoch,
        loss=total / steps,
        retrieval_loss=means["retrieval"],
        rating_loss=means["rating"],
        conversion_loss=means["conversion"],
        weights=_summaries(model),
    )


def _summaries(model: "MultitaskModel") -> tuple[WeightSummary, ...]:
    parts = [part for part in (model.query_tower, model.candidate_tower, model.rating_head) if part is not None]
    joined = {part.name: np.concatenate([w.numpy().ravel() for w in part.trainable_variables]) for part in parts}
    return tuple(
        WeightSummary(part=name, mean=float(values.mean()), std=float(values.std())) for name, values in joined.items()
    )


def _optimizer(settings: RetrieverSettings, num_steps: int) -> Any:
    from ml.retrieval.legacy_keras import tf

    warm_up = max(int(num_steps * WARM_UP_SHARE), 1)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.0, max(num_steps - warm_up, 1), warmup_target=settings.learning_rate, warmup_steps=warm_up
    )
    kinds = {"adam": tf.keras.optimizers.Adam, "adagrad": tf.keras.optimizers.Adagrad}
    return kinds[settings.optimizer](rate)


def _target(
    examples: RetrievalExamples, settings: RetrieverSettings, warm_start: TrainedRetriever | None
) -> TargetTransform | None:
    """Fitted on the examples; kept from the retriever we go on from, whose head already speaks in its units."""
    if not settings.rates:
        return None
    if warm_start is not None:
        return warm_start.target
    return TargetTransform.fit(examples.target)


def _checkpoint(
    folder: Path | None,
    store: ObjectStore | None,
    examples: RetrievalExamples,
    settings: RetrieverSettings,
    started_from: dict[str, Floats],
) -> Checkpoint | None:
    return Checkpoint(folder, fingerprint(examples, settings, started_from=started_from), store) if folder else None


def _require_history_length(examples: RetrievalExamples, settings: RetrieverSettings) -> None:
    if examples.encoder.history_length != settings.history_length:
        raise ContractError(
            f"The examples must be encoded with `history_length` {settings.history_length}. "
            f"Received: {examples.encoder.history_length}. Fit `TowerEncoder` with the recipe's `history_length`."
        )
