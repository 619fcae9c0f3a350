"""Training: ids already integers, order a pure function of (seed, epoch), a checkpoint after every epoch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.types import Floats, Rows
from ml.dataset.examples import ExampleSource, RetrievalExamples, require_examples
from ml.dataset.stream import num_batches
from ml.features.history import SECONDS_PER_DAY
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder
from ml.features.transforms import TargetTransform
from ml.retrieval.checkpoint import Checkpoint, fingerprint
from ml.retrieval.cluster import Cluster
from ml.retrieval.negatives import Negatives
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import (
    EPOCH_REPORTS,
    EpochReport,
    TrainedRetriever,
    WeightSummary,
    named_weights,
    set_named_weights,
)
from ml.storage import ObjectStore

if TYPE_CHECKING:
    from ml.retrieval.multitask import Batch, MultitaskModel

CALIBRATED_ON = 20_000
"""Examples the line is drawn through."""
OnEpoch = Callable[[EpochReport], None]
OnRetriever = Callable[[TrainedRetriever], None]


def train_retriever(
    examples: ExampleSource,
    settings: RetrieverSettings,
    *,
    checkpoint_folder: Path | None = None,
    checkpoint_store: ObjectStore | None = None,
    warm_start: TrainedRetriever | None = None,
    on_epoch: OnEpoch | None = None,
    on_retriever: OnRetriever | None = None,
    cluster: Cluster | None = None,
) -> TrainedRetriever:
    """The retriever learned from `examples` and nothing else.

    Args:
        checkpoint_folder: a run killed and called again with the same arguments goes on after its last whole epoch and
            ends with the weights the uninterrupted run would have ended with.
        checkpoint_store: keeps the checkpoint too, so that the run may be called again on another machine.
        warm_start: go on from this retriever for `carry_on_epochs` instead of beginning anew for `epochs`.
        on_epoch: called after every epoch, once its checkpoint is on disk.
        on_retriever: called after `on_epoch` with the retriever as it is by then, to judge it. The same one each time.
        cluster: the processes that call this with the same arguments and share the work. The chief alone keeps checkpoints;
            all end with the same weights, within float32 rounding those of one process.

    Raises:
        DataError: there is nothing to learn from, or the target is never known.
        RecipeError: `warm_start` has another shape, or a batch cannot be shared equally.
        ContractError: the processes of the cluster are not about to learn the same.
    """
    from ml.retrieval.carry_over import carry_over
    from ml.retrieval.multitask import MultitaskModel
    from ml.retrieval.optimizers import optimizer_of
    from ml.retrieval.replicas import strategy_of

    require_examples(examples)
    _require_history_length(examples, settings)
    target = _target(examples, settings, warm_start)
    num_epochs = settings.epochs if warm_start is None else settings.carry_on_epochs
    with strategy_of(cluster).scope():
        model = MultitaskModel(examples.encoder, settings)
        if warm_start is not None:
            carry_over(warm_start, model, examples.encoder)
        started_from = named_weights(model)
        model.compile(optimizer_of(settings, num_epochs * num_batches(len(examples), batch_size=settings.batch_size)))
        model.optimizer.build(model.trainable_variables)
        run = _Run(
            model,
            _Steps(examples, target, Negatives.of(examples, settings), cluster, settings.example_decay_days),
            cluster,
        )
        mark = fingerprint(examples, settings, started_from=started_from)
        _fit_factors(
            model, examples, starts=warm_start is None
        )  # after the mark: another machine's may differ in the last bit
        checkpoint = _checkpoint(checkpoint_folder, checkpoint_store, mark, cluster)
        heard = [on_epoch] if on_epoch else []
        if on_retriever:
            so_far = TrainedRetriever(examples.encoder, settings, target, model, ())
            heard.append(lambda _: on_retriever(so_far))
        reports = run.epochs(num_epochs, done=run.resume(checkpoint, mark), checkpoint=checkpoint, heard=heard)
    learned = model if cluster is None else _out_of_the_cluster(model, examples.encoder)
    return _calibrated(TrainedRetriever(examples.encoder, settings, target, learned, reports), examples)


@dataclass(frozen=True)
class _Steps:
    """Examples as training steps take them."""

    examples: ExampleSource
    target: TargetTransform | None
    negatives: Negatives
    cluster: Cluster | None
    decay_days: float
    """Of the examples' weights; 0: none."""

    def epoch(self, epoch: int, settings: RetrieverSettings) -> "Iterator[Batch]":
        """One pass over the examples: whole batches, or this process's part of each."""
        source = self.examples.batches(batch_size=settings.batch_size, seed=settings.seed, epoch=epoch)
        for batch, negatives in self.negatives.beside(source, seed=settings.seed, epoch=epoch):
            yield self._batch(batch.take(self.cluster.part(len(batch))) if self.cluster else batch, negatives)

    def _batch(self, examples: RetrievalExamples, negatives: Rows) -> "Batch":
        from ml.retrieval.multitask import Batch
        from ml.retrieval.towers import CandidateTensors, QueryTensors

        candidates, item_rows = examples.candidates, examples.item_rows
        known = np.isfinite(examples.target)
        values = self.target.apply(examples.target) if self.target is not None else np.zeros_like(examples.target)
        return Batch(
            query=QueryTensors(*(getattr(examples.queries, part.name) for part in fields(QueryInputs))),
            candidate=CandidateTensors(candidates.ids[item_rows], candidates.numbers[item_rows]),
            item_rows=item_rows,
            log_q=self.negatives.log_q[item_rows],
            weight=self._weights(examples),
            target=np.where(known, values, 0).astype(np.float32),
            target_known=known.astype(np.float32),
            is_purchase=examples.is_purchase.astype(np.float32),
            negatives=CandidateTensors(candidates.ids[negatives], candidates.numbers[negatives]),
            negative_rows=negatives,
            negative_log_q=self.negatives.log_q[negatives],
        )

    def _weights(self, examples: RetrievalExamples) -> Floats:
        if not self.decay_days:
            return examples.weight
        age_days = (examples.window.end - examples.at) / SECONDS_PER_DAY
        faded: Floats = (examples.weight * np.exp(-age_days / self.decay_days)).astype(np.float32)
        return faded


@dataclass(frozen=True)
class _Run:
    """A model and what it learns from."""

    model: "MultitaskModel"
    steps: _Steps
    cluster: Cluster | None

    def resume(self, checkpoint: Checkpoint | None, mark: str) -> tuple[EpochReport, ...]:
        """Put the model where the run was, in every process of the cluster; the reports of the epochs done."""
        done = checkpoint.restore(self.model) if checkpoint else ()
        if self.cluster is None:
            return done
        from ml.retrieval.replicas import from_chief, require_same

        require_same(mark, self.cluster)
        told = np.frombuffer(EPOCH_REPORTS.dump_json(done), np.uint8).astype(np.int32)
        [length] = from_chief([np.int32(len(told))], self.cluster)
        variables = [*self.model.weights, *self.model.optimizer.variables]
        told, *values = from_chief([np.resize(told, length), *(each.numpy() for each in variables)], self.cluster)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return EPOCH_REPORTS.validate_json(told.astype(np.uint8).tobytes())

    def epochs(
        self,
        num_epochs: int,
        *,
        done: tuple[EpochReport, ...],
        checkpoint: Checkpoint | None,
        heard: Sequence[OnEpoch],
    ) -> tuple[EpochReport, ...]:
        step, reports = self._step(), list(done)
        for epoch in range(len(reports), num_epochs):
            reports.append(self._epoch(step, epoch))
            if checkpoint:
                checkpoint.write(self.model, reports)
            for hear in heard:
                hear(reports[-1])
        return tuple(reports)

    def _epoch(self, step: Any, epoch: int) -> EpochReport:
        losses = [step(batch) for batch in self.steps.epoch(epoch, self.model.settings)]
        means = {name: float(np.mean([float(loss[name]) for loss in losses])) for name in losses[0]}
        return EpochReport(
            epoch=epoch,
            loss=means["total"],
            **{f"{name}_loss": means.get(name, float("nan")) for name in ("retrieval", "rating", "conversion")},
            weights=_summaries(self.model),
        )

    def _step(self) -> Any:
        """One compiled step: losses by name, the same in every process."""
        from ml.retrieval.legacy_keras import tf
        from ml.retrieval.replicas import strategy_of

        strategy = strategy_of(self.cluster)

        def step(batch: "Batch") -> dict[str, Any]:
            losses = strategy.run(self.model.train_step, args=(batch,))
            return {name: strategy.experimental_local_results(loss)[0] for name, loss in losses.items()}

        return tf.function(step)


def _fit_factors(model: "MultitaskModel", examples: ExampleSource, *, starts: bool) -> None:
    """What is known before anything is learned: the factors beside what is learned and, when it starts, the first vectors."""
    from ml.retrieval.spectral import chosen_in, first_vectors, item_factors, start_from

    settings = model.settings
    starts = starts and settings.start == "spectral"
    if not (starts or settings.factor_dim):
        return
    chosen = chosen_in(examples, settings)
    if starts:
        start_from(first_vectors(chosen, dim=settings.embedding_dim, seed=settings.seed).items, model)
    if settings.factor_dim:
        model.factors.table.embeddings.assign(item_factors(chosen, dim=settings.factor_dim, seed=settings.seed))


def _out_of_the_cluster(model: "MultitaskModel", encoder: TowerEncoder) -> "MultitaskModel":
    """The same model in variables of this process alone: what exports it knows no other."""
    from ml.retrieval.multitask import MultitaskModel

    alone = MultitaskModel(encoder, model.settings)
    set_named_weights(alone, named_weights(model))
    return alone


def _summaries(model: "MultitaskModel") -> tuple[WeightSummary, ...]:
    parts = [part for part in (model.query_tower, model.candidate_tower, model.rating_head) if part is not None]
    joined = {part.name: np.concatenate([w.numpy().ravel() for w in part.trainable_variables]) for part in parts}
    return tuple(
        WeightSummary(part=name, mean=float(values.mean()), std=float(values.std())) for name, values in joined.items()
    )


def _target(
    examples: ExampleSource, settings: RetrieverSettings, warm_start: TrainedRetriever | None
) -> TargetTransform | None:
    """Fitted on the examples; kept from the retriever we go on from, whose head already speaks in its units."""
    if not settings.rates:
        return None
    if warm_start is not None:
        return warm_start.target
    known = np.sort(examples.known_targets)  # a mean depends on the order in its last bit
    return TargetTransform.fit(known, to="unit" if settings.rating_loss == "bce" else "z_score")


def _calibrated(trained: TrainedRetriever, examples: ExampleSource) -> TrainedRetriever:
    """With the target's line, for a loss that knows of order alone: through the first batches of the first epoch."""
    settings, target = trained.settings, trained.target
    if target is None or settings.rating_loss not in ("pairwise", "listwise"):
        return trained
    epoch = examples.batches(batch_size=settings.batch_size, seed=settings.seed, epoch=0)
    batches = list(islice(epoch, -(-CALIBRATED_ON // settings.batch_size)))
    answers = [
        trained.answers(
            trained.query_vectors(batch.queries),
            trained.candidate_vectors(CandidateInputs(*(part[batch.item_rows] for part in _parts(batch.candidates)))),
        )
        for batch in batches
    ]
    targets = np.concatenate([batch.target for batch in batches])
    known = np.isfinite(targets)
    line = target.calibrated(np.concatenate(answers)[known], target.apply(targets[known]))
    return replace(trained, target=line)


def _parts(candidates: CandidateInputs) -> tuple[Any, ...]:
    return tuple(getattr(candidates, part.name) for part in fields(CandidateInputs))


def _checkpoint(
    folder: Path | None, store: ObjectStore | None, mark: str, cluster: Cluster | None
) -> Checkpoint | None:
    return Checkpoint(folder, mark, store) if folder and (cluster is None or cluster.is_chief) else None


def _require_history_length(examples: ExampleSource, settings: RetrieverSettings) -> None:
    if examples.encoder.history_length != settings.history_length:
        raise ContractError(
            f"The examples must be encoded with `history_length` {settings.history_length}. "
            f"Received: {examples.encoder.history_length}. Fit `TowerEncoder` with the recipe's `history_length`."
        )
