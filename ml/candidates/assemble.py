"""The tables of a bundle as they would have been at some instant, and the bundle in memory they make with given models."""

from datetime import datetime

from ml.candidates.fit import fit_sources
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.contract.types import Rows
from ml.dataset.training_data import TrainingData
from ml.features.log import InteractionLog
from ml.runtime.bundle import Bundle
from ml.runtime.items import ItemTable
from ml.runtime.search import ExactIndex
from ml.runtime.settings import RequestSettings
from ml.runtime.users import UserTable


def bundle_at(
    data: TrainingData, cut_at: datetime, *, models: Models, settings: RequestSettings, source_settings: SourceSettings
) -> Bundle:
    """Models with the tables of `cut_at`: only what was known before it. Search is exact."""
    items = catalogue_at(data, cut_at)
    log = log_at(data, cut_at, items)
    vectors = models.item_vectors(items)
    return Bundle(
        version=f"in-memory-{cut_at:%Y-%m-%d}",
        items=items,
        users=users_at(data, cut_at, log),
        encoder=models.encoder,
        towers=models.towers,
        vectors=vectors,
        index=ExactIndex(vectors),
        sources=fit_sources(log, items, cut=int(cut_at.timestamp()), settings=source_settings),
        ranker=models.ranker,
        settings=settings,
    )


def catalogue_at(data: TrainingData, cut_at: datetime) -> ItemTable:
    return ItemTable.at_cut(data.items, data.item_features_at(cut_at), cut=cut_at, final=cut_at == data.cut_at)


def users_at(data: TrainingData, cut_at: datetime, log: InteractionLog) -> UserTable:
    """Of a log as `log_at` gives it."""
    return UserTable.at_cut(log, data.users, data.user_features_at(cut_at), user_ids=data.user_ids)


def log_at(data: TrainingData, cut_at: datetime, items: ItemTable) -> InteractionLog:
    """What was known before `cut_at`, in the rows of a catalogue."""
    return in_catalogue(data, items).before(int(cut_at.timestamp()))


def in_catalogue(data: TrainingData, items: ItemTable) -> InteractionLog:
    """All events, the future included, in the rows of a catalogue; those of items outside it are left out."""
    rows: Rows = items.vocabulary.rows(data.item_ids.ids)
    return data.log.with_item_rows(rows[data.log.item_rows])
