"""Training: ids already integers, order a pure function of (seed, epoch), a checkpoint after every epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.types import Floats
from ml.dataset.examples import ExampleSource, RetrievalExamples, require_examples
from ml.dataset.stream import num_batches
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
    examples: ExampleSource,
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
        _Steps.of(examples, target),
        num_epochs=num_epochs,
        checkpoint=_checkpoint(checkpoint_folder, checkpoint_store, examples, settings, started_from),
        on_epoch=on_epoch,
    )
    return TrainedRetriever(examples.encoder, settings, target, model, reports)


@dataclass(frozen=True)
class _Steps:
    """Examples as training steps take them."""

    examples: ExampleSource
    target: TargetTransform | None
    log_q: Floats

    @classmethod
    def of(cls, examples: ExampleSource, target: TargetTransform | None) -> Self:
        with np.errstate(divide="ignore"):  # log 0 of an item without examples: no step ever asks for it
            return cls(examples, target, np.log(examples.item_shares))

    def epoch(self, epoch: int, settings: RetrieverSettings) -> "Iterator[Batch]":
        """One pass over the examples."""
        found = self.examples.batches(batch_size=settings.batch_size, seed=settings.seed, epoch=epoch)
        return map(self._batch, found)

    def _batch(self, examples: RetrievalExamples) -> "Batch":
        from ml.retrieval.multitask import Batch
        from ml.retrieval.towers import CandidateTensors, QueryTensors

        candidates, item_rows = examples.candidates, examples.item_rows
        known = np.isfinite(examples.target)
        values = self.target.apply(examples.target) if self.target is not None else np.zeros_like(examples.target)
        return Batch(
            query=QueryTensors(*(getattr(examples.queries, part.name) for part in fields(QueryInputs))),
            candidate=CandidateTensors(candidates.ids[item_rows], candidates.numbers[item_rows]),
            item_rows=item_rows,
            log_q=self.log_q[item_rows],
            weight=examples.weight,
            target=np.where(known, values, 0).astype(np.float32),
            target_known=known.astype(np.float32),
            is_purchase=examples.is_purchase.astype(np.float32),
        )


def _run_epochs(
    model: "MultitaskModel",
    steps: _Steps,
    *,
    num_epochs: int,
    checkpoint: Checkpoint | None,
    on_epoch: OnEpoch | None,
) -> tuple[EpochReport, ...]:
    from ml.retrieval.legacy_keras import tf

    step = tf.function(model.train_step)
    reports = list(checkpoint.restore(model)) if checkpoint else []
    for epoch in range(len(reports), num_epochs):
        reports.append(_run_epoch(model, step, steps, epoch=epoch))
        if checkpoint:
            checkpoint.write(model, reports)
        if on_epoch:
            on_epoch(reports[-1])
    return tuple(reports)


def _run_epoch(model: "MultitaskModel", step: Any, steps: _Steps, *, epoch: int) -> EpochReport:
    settings = model.settings
    model.reset_metrics()
    losses = [float(step(batch)["total_loss"]) for batch in steps.epoch(epoch, settings)]
    means = {name: float(mean.result()) if mean.count.numpy() else float("nan") for name, mean in model.means.items()}
    return EpochReport(
        epoch=epoch,
        loss=sum(losses) / len(losses),
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
    examples: ExampleSource, settings: RetrieverSettings, warm_start: TrainedRetriever | None
) -> TargetTransform | None:
    """Fitted on the examples; kept from the retriever we go on from, whose head already speaks in its units."""
    if not settings.rates:
        return None
    if warm_start is not None:
        return warm_start.target
    return TargetTransform.fit(np.sort(examples.known_targets))  # a mean depends on the order in its last bit


def _checkpoint(
    folder: Path | None,
    store: ObjectStore | None,
    examples: ExampleSource,
    settings: RetrieverSettings,
    started_from: dict[str, Floats],
) -> Checkpoint | None:
    return Checkpoint(folder, fingerprint(examples, settings, started_from=started_from), store) if folder else None


def _require_history_length(examples: ExampleSource, settings: RetrieverSettings) -> None:
    if examples.encoder.history_length != settings.history_length:
        raise ContractError(
            f"The examples must be encoded with `history_length` {settings.history_length}. "
            f"Received: {examples.encoder.history_length}. Fit `TowerEncoder` with the recipe's `history_length`."
        )
