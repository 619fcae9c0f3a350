"""The learned parts of a bundle, as training leaves them on disk."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from ml.candidates.vector_shards import embed_in_shards
from ml.contract.manifest import file_entry
from ml.contract.types import Floats
from ml.features.tower_inputs import TowerEncoder
from ml.runtime.bundle import Names
from ml.runtime.items import ItemTable
from ml.runtime.rank import Ranker
from ml.runtime.towers import CANDIDATE_TOWER, OnnxTowers
from ml.runtime.users import UserTable

CURVES = "curves.json"
Curves = dict[str, list[tuple[int, float]]]
"""Epoch and value, by name."""


@dataclass(frozen=True)
class Models:
    """The learned parts, which stay the same while tables move on."""

    encoder: TowerEncoder
    towers: OnnxTowers
    ranker: Ranker | None = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Towers and vocabularies as `export_retriever` wrote them."""
        return cls(TowerEncoder.load(folder / Names.VOCABULARIES), OnnxTowers.open(folder))

    def item_vectors(self, items: ItemTable) -> Floats:
        return self.towers.candidates(self.encoder.candidates(items.table))

    def user_vectors(self, users: UserTable, items: ItemTable, *, at: int, at_most: int) -> Floats:
        """Query vectors of known users at one instant, evenly taken from the table where there are more `[n, dimension]`."""
        rows = np.linspace(0, len(users) - 1, min(at_most, len(users))).astype(np.int32)
        inputs = self.encoder.queries(
            self.encoder.user_ids(users.table),
            users.histories,
            rows,
            np.full(len(rows), at, np.int64),
            item_indexes=self.encoder.item_indexes(items.table["item_id"]),
        )
        return self.towers.query(inputs)


@dataclass(frozen=True)
class StoredRetriever:
    """Both stages of a trained retriever, exported; needs no TensorFlow to be used."""

    folder: Path

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(folder)

    @property
    def final_folder(self) -> Path:
        return self.folder / "final"

    def item_vectors(self, items: ItemTable, *, folder: Path) -> Floats:
        """Of the final stage, as `Models.item_vectors` gives them, made shard by shard in `folder`."""
        return embed_in_shards(
            items.table,
            self.final.towers.candidates,
            encoder=self.final.encoder,
            tower=file_entry(self.final_folder / CANDIDATE_TOWER).sha256,
            folder=folder,
        )

    @cached_property
    def base(self) -> Models:
        """Learned before the ranker's first week: its scores there are as honest as those of tomorrow."""
        return Models.open(self.folder / "base")

    @cached_property
    def final(self) -> Models:
        """Carried on to the end of the training window: what is served."""
        return Models.open(self.final_folder)

    @property
    def curves(self) -> Curves:
        """Losses and weights by epoch of both stages; none of a retriever stored before they were kept."""
        path = self.folder / CURVES
        return json.loads(path.read_text()) if path.exists() else {}
