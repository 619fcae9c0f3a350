"""Two stages of one retriever: the base, which leaves the ranker's weeks unseen, and the same carried on to what is served."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import TimeSplit, Window
from ml.dataset.training_data import TrainingData
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.export import export_graphs, export_retriever
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.train import OnEpoch, train_retriever
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
    on_epoch: OnEpoch | None = None,
) -> RetrieverStages:
    """Both stages. Each knows only users, items and events of its own window's past.

    A shop that never says what a purchase was worth gets no rating head: `model_type` becomes `retrieval`, and the summary
    says so.
    """
    base_examples = examples_of(data, split.base, settings)
    if not np.isfinite(base_examples.target).any():
        settings = settings.model_copy(update={"model_type": "retrieval"})
    base = train_retriever(
        base_examples,
        settings,
        checkpoint_folder=_sub(checkpoints, "base"),
        checkpoint_store=checkpoint_store and checkpoint_store.under("base"),
        on_epoch=on_epoch,
    )
    examples = examples_of(data, split.train, settings)
    final = train_retriever(
        examples,
        settings,
        checkpoint_folder=_sub(checkpoints, "final"),
        checkpoint_store=checkpoint_store and checkpoint_store.under("final"),
        warm_start=base,
        on_epoch=on_epoch,
    )
    return RetrieverStages(base, final, active_items(data.items_by_row), len(examples))


def examples_of(data: TrainingData, window: Window, settings: RetrieverSettings) -> RetrievalExamples:
    """Examples of a window, with an encoder that knows what occurred before the window's end and nothing else."""
    known = data.log.before(window.end)
    items = data.items_by_row.take(pa.array(np.unique(known.item_rows)))
    users = data.users_by_row.take(pa.array(np.unique(known.user_rows)))
    return RetrievalExamples.of(
        data.log,
        encoder=TowerEncoder.fit(users=users, items=items, history_length=settings.history_length),
        users=data.users_by_row,
        items=data.items_by_row,
        window=window,
        target_column=settings.target_column,
    )


def active_items(items: pa.Table) -> pa.Table:
    return items.filter(pa.compute.fill_null(items["is_active"], True))


def _losses(trained: TrainedRetriever) -> dict[str, float]:
    """Of the last epoch, those the recipe has."""
    last = trained.epochs[-1]
    found = {name: getattr(last, name) for name in ("loss", "retrieval_loss", "rating_loss", "conversion_loss")}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _sub(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder else None
