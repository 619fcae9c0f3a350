"""Vectors of texts by a sentence-transformer that lies on this machine: an ONNX graph and its vocabulary. Nothing is downloaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from ml.contract.errors import ContractError
from ml.contract.manifest import file_entry
from ml.contract.types import Floats
from ml.dataset.word_pieces import VOCABULARY, WordPieces

GRAPHS = ("model.onnx", "onnx/model.onnx")
"""Where exporters and publishers put the graph."""
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
AT_MOST = 256
"""Word pieces read of a text: what all-MiniLM-L6-v2 was trained on."""
BATCH = 64


@dataclass(frozen=True)
class TextEncoder:
    """A transformer whose answer for a text is the mean of its answers for the text's pieces."""

    graph: Path
    pieces: WordPieces
    session: ort.InferenceSession

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Of a folder with `model.onnx` (or `onnx/model.onnx`) and `vocab.txt`, as models are published in.

        Raises:
            ContractError: a file is missing, or it is no such model.
        """
        graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
        missing = [] if graph else [" or ".join(GRAPHS)]
        missing += [] if (folder / VOCABULARY).is_file() else [VOCABULARY]
        if graph is None or missing:
            state = "which lacks" if folder.is_dir() else "which is not there, so it lacks"
            raise ContractError(
                f"A text encoder is a folder with {GRAPHS[0]} and {VOCABULARY}. Received: {folder}, {state} {', '.join(missing)}. Put an "
                "exported sentence-transformer there, all-MiniLM-L6-v2 say, or name no encoder: none is downloaded."
            )
        session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        _require_transformer(session, graph)
        return cls(graph, WordPieces.load(folder), session)

    @property
    def length(self) -> int:
        """Numbers in each vector."""
        return int(self.session.get_outputs()[0].shape[2])

    @cached_property
    def digest(self) -> str:
        """Changes with the graph and the vocabulary."""
        said = " ".join(file_entry(path).sha256 for path in (self.graph, self._folder / VOCABULARY))
        return sha256(f"{said} {self.pieces.lower_case} {AT_MOST}".encode()).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors of length 1 `[n, length]`; texts that are the same have the same."""
        pieces = [self.pieces.of(text, at_most=AT_MOST) for text in texts]
        found = np.zeros((len(texts), self.length), np.float32)
        # Of like length together: a batch is as wide as its longest text.
        order = np.argsort([len(each) for each in pieces], kind="stable")
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            found[rows] = self._encoded([pieces[row] for row in rows])
        return found

    def _encoded(self, pieces: Sequence[Sequence[int]]) -> Floats:
        ids, mask = np.zeros((2, len(pieces), max(map(len, pieces))), np.int64)
        for row, mine in enumerate(pieces):
            ids[row, : len(mine)], mask[row, : len(mine)] = mine, 1
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {each.name for each in self.session.get_inputs()}
        answers = self.session.run(None, {name: array for name, array in given.items() if name in wanted})[0]
        summed = (answers * mask[:, :, None]).sum(axis=1)  # the mean's length does not matter
        unit: Floats = (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return unit

    @property
    def _folder(self) -> Path:
        return self.graph.parent.parent if self.graph.parent.name == "onnx" else self.graph.parent


def text_of(title: str | None, description: str | None) -> str:
    """What is read of an item; empty where nothing is said.

    >>> text_of(" Red  cup ", None), text_of("Cup", "For tea."), text_of(None, " ")
    ('Red cup', 'Cup. For tea.', '')
    """
    said = (" ".join((each or "").split()) for each in (title, description))
    return ". ".join(each for each in said if each)


def _require_transformer(session: ort.InferenceSession, graph: Path) -> None:
    inputs, shape = {each.name for each in session.get_inputs()}, session.get_outputs()[0].shape
    if not {"input_ids"} <= inputs <= INPUTS or len(shape) != 3 or not isinstance(shape[2], int):
        raise ContractError(
            f"{graph} must take {', '.join(sorted(INPUTS))} and answer [texts, pieces, numbers] first. Received: a graph that takes "
            f"{', '.join(sorted(inputs))} and answers {list(shape)}. Export the transformer itself, without pooling."
        )
