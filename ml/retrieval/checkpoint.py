"""What a killed training run needs to go on as if nothing had happened."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ml.contract.errors import StorageError
from ml.contract.types import Floats
from ml.dataset.examples import ExampleSource
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import EPOCH_REPORTS, EpochReport, named_weights, set_named_weights
from ml.storage import ObjectStore

FILE = "checkpoint.npz"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where one run's checkpoint lies. A checkpoint of another recipe, other examples or another start is not this run's."""

    folder: Path
    fingerprint: str
    store: ObjectStore | None = None
    """Where other machines find it; the folder alone when None."""

    def write(self, model: Any, reports: Sequence[EpochReport]) -> None:
        """Weights, optimizer state and reports after whole epochs. A kill while writing leaves the former one in place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"unfinished-{FILE}"
        about = {"fingerprint": self.fingerprint, "reports": EPOCH_REPORTS.dump_python(tuple(reports), mode="json")}
        optimizer = {f"optimizer.{i:03d}": variable.numpy() for i, variable in enumerate(model.optimizer.variables)}
        weights = {f"weights.{name}": value for name, value in named_weights(model).items()}
        np.savez(unfinished, allow_pickle=False, about=np.array(json.dumps(about)), **weights, **optimizer)
        unfinished.replace(self.folder / FILE)
        if self.store is not None:
            self._share(self.store)

    def restore(self, model: Any) -> tuple[EpochReport, ...]:
        """Put the model and its optimizer where the run was; the reports of the epochs done, none when there is nothing to restore."""
        path = self.folder / FILE
        if self.store is not None and not self._is_ours(path):
            self._bring(self.store)
        if not self._is_ours(path):
            return ()
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            set_named_weights(model, _under("weights.", stored))
            model.optimizer.build(model.trainable_variables)
            for variable, (_, value) in zip(
                model.optimizer.variables, sorted(_under("optimizer.", stored).items()), strict=True
            ):
                variable.assign(value)
        return EPOCH_REPORTS.validate_python(about["reports"])

    def _is_ours(self, path: Path) -> bool:
        if not path.exists():
            return False
        with np.load(path, allow_pickle=False) as stored:
            return bool(json.loads(str(stored["about"]))["fingerprint"] == self.fingerprint)

    def _share(self, store: ObjectStore) -> None:
        """Also to the store. A store that is away costs the insurance, never the run."""
        try:
            store.upload(self.folder / FILE, FILE)
        except StorageError as error:
            logger.warning("The checkpoint of this epoch is on this machine only: %s", error)

    def _bring(self, store: ObjectStore) -> None:
        """This run's checkpoint, if another machine left one."""
        if not store.list(FILE):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"unfinished-{FILE}"
        store.download(FILE, unfinished)
        unfinished.replace(self.folder / FILE)


def fingerprint(examples: ExampleSource, settings: RetrieverSettings, *, started_from: dict[str, Floats]) -> str:
    """Hash of everything that decides what a run learns."""
    digest = sha256(f"{settings.model_dump_json()} {examples.digest}".encode())
    for name, array in sorted(started_from.items()):
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _under(prefix: str, stored: Any) -> dict[str, Any]:
    return {name.removeprefix(prefix): stored[name] for name in stored.files if name.startswith(prefix)}
