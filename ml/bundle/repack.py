"""A champion's models with the tables of a later day: what keeps lists fresh when no challenger is better."""

import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ml.bundle.write import BundleFolder, write_bundle
from ml.candidates.assemble import bundle_at
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.contract.errors import BundleError
from ml.contract.manifest import MANIFEST
from ml.dataset.training_data import TrainingData
from ml.index.planner import IndexSettings, build_index
from ml.runtime.bundle import Names, open_bundle

TABLES = (
    MANIFEST,
    Names.ITEMS,
    Names.USERS,
    Names.VECTORS,
    Names.INDEX,
    Names.SOURCES,
    Names.RANKER,
    Names.RANKER_GOLDEN,
    Names.SETTINGS,
    Names.POPULAR,
    Names.GOLDEN,
)
"""What is written anew; all else in a bundle is its models."""


def repack(
    champion: Path,
    data: TrainingData,
    parent: Path,
    *,
    sources: SourceSettings,
    index: IndexSettings,
    now: datetime,
    run_id: str | None = None,
) -> BundleFolder:
    """A new bundle: catalogue, vectors, index, sources and histories as of `data.cut_at`, models as they are.

    Its SavedModel still searches the catalogue it was exported with; the service does not use it.
    """
    old = open_bundle(champion)
    if old.manifest is None or old.ranker is None:
        raise BundleError(f"Expected a released bundle. Received: {champion}, which lacks a manifest or a ranker.")
    models = Models(old.encoder, old.towers, old.ranker)
    bundle = bundle_at(data, data.cut_at, models=models, settings=old.settings, source_settings=sources)
    queries = models.user_vectors(
        bundle.users, bundle.items, at=int(data.cut_at.timestamp()), at_most=index.max_queries
    )
    built = build_index(bundle.vectors, queries, settings=index)
    facts = old.manifest.facts.model_copy(
        update={
            "cut_at": data.cut_at,
            "data_start_at": data.start_at,
            "created_at": now,
            "dagster_run_id": run_id,
            "num_items": len(bundle.items),
            "num_users": len(bundle.users),
            "index_kind": built.report.kind,
            "index_recall": built.report.recall,
            "models_of": old.manifest.facts.models_of or old.version,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(shutil.copytree(champion, Path(folder, "models"), ignore=shutil.ignore_patterns(*TABLES)))
        return write_bundle(replace(bundle, index=built.index), [kept], parent, facts=facts)
