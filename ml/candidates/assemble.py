"""A bundle in memory, as it would have been at some instant of the past or is at the latest one."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ml.candidates.fit import fit_sources
from ml.candidates.settings import SourceSettings
from ml.contract.types import Rows
from ml.dataset.training_data import TrainingData
from ml.features.tower_inputs import TowerEncoder
from ml.runtime.bundle import Bundle
from ml.runtime.items import ItemTable
from ml.runtime.rank import Ranker
from ml.runtime.search import ExactIndex
from ml.runtime.settings import RequestSettings
from ml.runtime.towers import OnnxTowers
from ml.runtime.users import UserTable


@dataclass(frozen=True)
class Models:
    """The learned parts, which stay the same while tables move on."""

    encoder: TowerEncoder
    towers: OnnxTowers
    ranker: Ranker | None = None


def bundle_at(
    data: TrainingData,
    cut_at: datetime,
    *,
    models: Models,
    settings: RequestSettings,
    source_settings: SourceSettings,
) -> Bundle:
    """Models with the tables of `cut_at`: only what was known before it. Search is exact."""
    cut = int(cut_at.timestamp())
    items = ItemTable.at_cut(data.items, data.item_features_at(cut_at), cut=cut_at, final=cut_at == data.cut_at)
    log = data.log.before(cut)
    log = log.with_item_rows(catalogue_rows(data, items)[log.item_rows])
    vectors = models.towers.candidates(models.encoder.candidates(items.table))
    return Bundle(
        version=f"in-memory-{cut_at:%Y-%m-%d}",
        items=items,
        users=UserTable.at_cut(log, data.users, data.user_features_at(cut_at), user_ids=data.user_ids),
        encoder=models.encoder,
        towers=models.towers,
        vectors=vectors,
        index=ExactIndex(vectors),
        sources=fit_sources(
            log,
            num_items=len(items),
            cut=cut,
            interest_decay_days=settings.candidates.interest_decay_days,
            settings=source_settings,
        ),
        ranker=models.ranker,
        settings=settings,
    )


def catalogue_rows(data: TrainingData, items: ItemTable) -> Rows:
    """Row in a catalogue of each item of the training data `[len(data.item_ids)]`, -1 where it is not in it."""
    rows = np.full(len(data.item_ids), -1, np.int32)
    rows[data.item_ids.rows(items.table["item_id"])] = np.arange(len(items), dtype=np.int32)
    return rows
