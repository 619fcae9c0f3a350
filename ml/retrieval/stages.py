"""Two stages of one retriever: the base, which leaves the ranker's weeks unseen, and the same carried on to what is served."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.candidates.models import CURVES, Curves
from ml.contract.errors import ContractError
from ml.dataset.examples import ExampleSource, RetrievalExamples
from ml.dataset.split import TimeSplit, Window
from ml.dataset.streamed import StreamedExamples
from ml.dataset.training_data import TrainingData
from ml.features.log import InteractionLog
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.cluster import Cluster
from ml.retrieval.export import export_graphs, export_retriever
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.train import OnEpoch, OnRetriever, train_retriever
from ml.retrieval.trained import TrainedRetriever
from ml.storage import ObjectStore


@dataclass(frozen=True)
class RetrieverStages:
    """Saves itself as folders `base/` and `final/` that need no TensorFlow to be used, and `weights/` that do."""

    base: TrainedRetriever
    final: TrainedRetriever
    catalogue: pa.Table
    """What the exported SavedModel searches: `DIM_ITEMS` at T, active items."""
    num_examples: int

    def save(self, folder: Path) -> None:
        export_graphs(self.base, folder / "base")
        export_retriever(self.final, folder / "final", catalogue=self.catalogue)
        (folder / "weights").mkdir()
        self.final.save(folder / "weights")
        (folder / CURVES).write_text(json.dumps(self.curves()))

    def curves(self) -> Curves:
        """Losses, and mean and spread of each part's weights, by epoch; the second stage counts on from the first."""
        found: Curves = {}
        for step, epoch in enumerate((*self.base.epochs, *self.final.epochs)):
            for name, value in epoch.numbers().items():
                found.setdefault(name, []).append((step, value))
        return found

    def summary(self) -> dict[str, int | float | str]:
        """Losses of the last epoch of each stage."""
        return {
            "model_type": self.final.settings.model_type,
            "examples": self.num_examples,
            "epochs": len(self.base.epochs) + len(self.final.epochs),
            **{f"base_{name}": value for name, value in _losses(self.base).items()},
            **_losses(self.final),
        }


def train_stages(
    data: TrainingData,
    split: TimeSplit,
    settings: RetrieverSettings,
    *,
    checkpoints: Path | None = None,
    checkpoint_store: ObjectStore | None = None,
    scratch: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_retriever: OnRetriever | None = None,
    cluster: Cluster | None = None,
) -> RetrieverStages:
    """Both stages. Each knows only users, items and events of its own window's past.

    A shop that never says what a purchase was worth gets no rating head: `model_type` becomes `retrieval`, and the summary
    says so. The catalogue decides how many factors there are.

    Args:
        scratch: a folder for examples that do not fit into memory; what it held is lost. Each process needs its own.
        on_retriever: told of every epoch of both stages; see `train_retriever`.
        cluster: the processes that call this together; see `train_retriever`.
    """
    settings = settings.for_catalogue(data.items.num_rows)
    base_examples = examples_of(data, split.base, settings, scratch=scratch)
    if not len(base_examples.known_targets):
        settings = settings.model_copy(update={"model_type": "retrieval"})
    base = train_retriever(
        base_examples,
        settings,
        checkpoint_folder=_sub(checkpoints, "base"),
        checkpoint_store=checkpoint_store and checkpoint_store.under("base"),
        on_epoch=on_epoch,
        on_retriever=on_retriever,
        cluster=cluster,
    )
    # Those of the base have done their part.
    examples = examples_of(data, split.train, settings, scratch=scratch, like=base.encoder)
    final = train_retriever(
        examples,
        settings,
        checkpoint_folder=_sub(checkpoints, "final"),
        checkpoint_store=checkpoint_store and checkpoint_store.under("final"),
        warm_start=base,
        on_epoch=on_epoch,
        on_retriever=on_retriever,
        cluster=cluster,
    )
    return RetrieverStages(base, final, active_items(data.items_by_row), len(examples))


def examples_of(
    data: TrainingData,
    window: Window,
    settings: RetrieverSettings,
    *,
    scratch: Path | None = None,
    like: TowerEncoder | None = None,
) -> ExampleSource:
    """Examples of a window, with an encoder that knows what occurred before the window's end and nothing else.

    Args:
        scratch: where the examples of a log of more than `events_in_memory` events are put.
        like: the encoder of a retriever that training goes on from.

    Raises:
        ContractError: they need a place and have none.
    """
    items, users = _seen(data, window)
    encoder = TowerEncoder.fit(
        users=users,
        items=items,
        history_length=settings.history_length,
        vector_dim=settings.vector_dim,
        crosses=settings.crosses,
        like=like,
    )

    def of(log: InteractionLog) -> RetrievalExamples:
        return RetrievalExamples.of(
            log,
            encoder=encoder,
            users=data.users_by_row,
            items=data.items_by_row,
            window=window,
            target_column=settings.target_column,
        )

    if len(data.events) <= settings.events_in_memory:
        return of(data.log)
    if scratch is None:
        raise ContractError(
            f"Examples of more than {settings.events_in_memory} events need `scratch`, a folder. "
            f"Received: none, and {len(data.events)} events. Name a folder, or raise `events_in_memory`."
        )
    return StreamedExamples.write(map(of, data.events.logs()), scratch)


def _seen(data: TrainingData, window: Window) -> tuple[pa.Table, pa.Table]:
    """Items and users with an event that was known before the window's end."""
    items, users = (np.zeros(len(table), np.bool_) for table in (data.items, data.users))
    for log in data.events.logs():
        known = log.before(window.end)
        items[known.item_rows], users[known.user_rows] = True, True
    return data.items_by_row.filter(pa.array(items)), data.users_by_row.filter(pa.array(users))


def active_items(items: pa.Table) -> pa.Table:
    return items.filter(pa.compute.fill_null(items["is_active"], True))


def _losses(trained: TrainedRetriever) -> dict[str, float]:
    """Of the last epoch, those the recipe has."""
    return trained.epochs[-1].losses()


def _sub(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder else None
