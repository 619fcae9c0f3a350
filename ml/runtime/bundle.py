"""A release, opened: everything an answer needs, verified before any of it is parsed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ml.contract.errors import BundleError
from ml.contract.manifest import MANIFEST, REMEDY, FileEntry, Manifest, file_entry
from ml.contract.types import Floats, Rows
from ml.features.tower_inputs import TowerEncoder
from ml.runtime.candidates import SourceTables
from ml.runtime.exposure import Exposure
from ml.runtime.items import ItemDisplay, ItemTable
from ml.runtime.mapped import mapped
from ml.runtime.rank import Ranker
from ml.runtime.search import Index, open_index
from ml.runtime.settings import RequestSettings
from ml.runtime.towers import OnnxTowers
from ml.runtime.users import UserTable

Part = TypeVar("Part")


@dataclass(frozen=True)
class Bundle:
    """One consistent set of models and tables as of one cut. Never changed; a newer one replaces it whole."""

    version: str
    items: ItemTable
    users: UserTable
    encoder: TowerEncoder
    towers: OnnxTowers
    vectors: Floats
    """`[num_items, dimension]` of the candidate tower."""
    index: Index
    sources: SourceTables
    ranker: Ranker | None
    """None while one is being learned: candidates come in the order of the blend, and the answer says so."""
    settings: RequestSettings
    manifest: Manifest | None = None
    """None for one that was put together in memory, to train on or to judge."""

    @cached_property
    def tower_item_indexes(self) -> Rows:
        return self.encoder.item_indexes(self.items.table["item_id"])

    @cached_property
    def item_facts(self) -> Floats:
        """`[num_items, len(ITEM_FACTS)]` side by side: a candidate's lie on two lines of memory and not on five."""
        return np.column_stack([self.items.features, self.sources.pulse.values, self.items.log_price])

    @cached_property
    def tower_user_ids(self) -> Rows:
        """`[num_users, 1 + attributes + crosses]`"""
        return self.encoder.user_ids(self.users.table)

    @cached_property
    def exposure(self) -> Exposure:
        return Exposure(self.sources.popularity.recent, self.items.available, self.items.sellers)

    @property
    def no_user_ids(self) -> Rows:
        """Tower ids of a stranger."""
        return np.zeros(len(self.encoder.query_sizes), np.int32)

    def display(self, item_row: int) -> ItemDisplay:
        return self.items.display(item_row)


class Names:
    """Where each part lies inside a bundle folder."""

    ITEMS = "item_table.arrow"
    USERS = "user_state.arrow"
    VECTORS = "item_vectors.npy"
    VOCABULARIES = "vocabularies"
    INDEX = "index"
    SOURCES = "candidate_sources"
    RANKER = "ranker.txt"
    RANKER_GOLDEN = "ranker_golden.npy"
    SETTINGS = "request.json"
    POPULAR = "popular.json"
    GOLDEN = "golden.json"
    SAVED_MODEL = "saved_model"


def open_bundle(
    folder: Path, *, entry_of: Callable[[Path], FileEntry] = file_entry, rest: Callable[[], None] = lambda: None
) -> Bundle:
    """The bundle in a folder, after every file was compared with the manifest.

    Args:
        entry_of: makes the entry of a file that is compared.
        rest: called between any two parts, by whoever opens one beside other work.

    Raises:
        BundleError: a file is missing, altered, cut short or was added; the message names it.
    """
    manifest = verified(folder, entry_of=entry_of)

    def part(load: Callable[..., Part], *arguments: object) -> Part:
        rest()
        return load(*arguments)

    vectors = part(mapped, folder / Names.VECTORS)
    bundle = Bundle(
        version=manifest.version,
        items=part(ItemTable.load, folder / Names.ITEMS),
        users=part(UserTable.load, folder / Names.USERS),
        encoder=part(TowerEncoder.load, folder / Names.VOCABULARIES),
        towers=part(OnnxTowers.open, folder),
        vectors=vectors,
        index=part(open_index, folder / Names.INDEX, vectors),
        sources=part(SourceTables.load, folder / Names.SOURCES),
        ranker=part(partial(Ranker.load, golden=folder / Names.RANKER_GOLDEN), folder / Names.RANKER),
        settings=part(RequestSettings.load, folder / Names.SETTINGS),
        manifest=manifest,
    )
    _require_one_catalogue(bundle)
    if bundle.towers.compiled_query is not None:
        bundle.towers.compiled_query.weights.require_of(bundle.encoder, bundle.version)
    return bundle


def _require_one_catalogue(bundle: Bundle) -> None:
    """The kernel looks up rows of one part in another without looking twice.

    Raises:
        BundleError: a part is of another catalogue.
    """
    count, popularity = len(bundle.items), bundle.sources.popularity
    sizes = {len(bundle.vectors), len(popularity.recent), len(popularity.trending)}
    sizes |= {len(table) for table in bundle.sources.neighbours.values()}
    factors = bundle.sources.factors
    sizes |= {len(factors.vectors), len(factors.says), len(bundle.sources.interested), len(bundle.sources.pulse.values)}
    rows = bundle.users.histories.item_rows
    if sizes != {count} or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count):
        raise BundleError(
            f"Bundle {bundle.version}: all parts must be of one catalogue, of {count} items. Received: parts of {sorted(sizes)} items, "
            f"histories up to row {rows.max(initial=-1)}. {REMEDY}"
        )


def verified(folder: Path, *, entry_of: Callable[[Path], FileEntry] = file_entry) -> Manifest:
    """The manifest of a folder that holds exactly what the manifest lists."""
    manifest = Manifest.read(folder)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}
    for name in sorted(present ^ manifest.files.keys()):
        problem = "is missing" if name in manifest.files else "was added"
        raise BundleError(f"Bundle {manifest.version}: {name} {problem}. {REMEDY}")
    for name, expected in manifest.files.items():
        size = (folder / name).stat().st_size
        if size != expected.size:
            raise BundleError(
                f"Bundle {manifest.version}: {name} must have {expected.size} bytes. Received: {size}. {REMEDY}"
            )
        if entry_of(folder / name) != expected:
            raise BundleError(f"Bundle {manifest.version} failed its checksum on {name}. {REMEDY}")
    return manifest
