"""The successive states of one folder on a store: each whole under a name of its own, and a pointer to the newest."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import StorageError
from ml.contract.manifest import FileList
from ml.contract.release import POINTER
from ml.storage.folders import delete_folder, download_folder, upload_folder
from ml.storage.objects import ABSENT, Content, ObjectStore

KEPT = 3
"""States that stay, for readers that were about to read them and for people who look back."""

_NAME_DIGITS = 16


class _Newest(BaseModel):
    """The pointer: the names of the states, newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    states: tuple[Annotated[str, Field(pattern=rf"^[0-9a-f]{{{_NAME_DIGITS}}}$")], ...] = Field(min_length=1)


@dataclass(frozen=True)
class Series:
    """States are named by the hash of what is in them: the same content is stored once and never sent again."""

    store: ObjectStore

    def put(self, folder: Path) -> str:
        """Make a folder's content the newest state; its name. Older states beyond a few are removed.

        Raises:
            PreconditionError: somebody else put another state there meanwhile; theirs is the newest.
        """
        before = self.store.read(POINTER)
        states = self._states(before)
        name = state_of(folder)
        upload_folder(folder, self.store.under(name))
        if states[:1] == (name,):
            return name
        kept = (name, *(state for state in states if state != name))
        pointer = _Newest(states=kept[:KEPT])
        self.store.write(
            POINTER, pointer.model_dump_json().encode(), if_generation=before.generation if before else ABSENT
        )
        for old in kept[KEPT:]:
            delete_folder(self.store.under(old))
        return name

    def fetch(self, cache: Path) -> Path | None:
        """The newest state as a folder inside `cache`, downloaded unless it is there; None before the first.

        States the store has let go are removed from the cache too.
        """
        states = self._states(self.store.read(POINTER))
        if not states:
            return None
        folder = cache / states[0]
        if not folder.is_dir():
            download_folder(self.store.under(states[0]), folder)
        for old in cache.glob("[0-9a-f]" * _NAME_DIGITS):
            if old.name not in states:
                shutil.rmtree(old, ignore_errors=True)
        return folder

    def _states(self, pointer: Content | None) -> tuple[str, ...]:
        if pointer is None:
            return ()
        try:
            return _Newest.model_validate_json(pointer.data).states
        except ValidationError as error:
            raise StorageError(
                f"{POINTER} in {self.store.uri} must name the newest state. Received: something else ({error}). "
                "Delete it and store the folder anew."
            ) from error


def state_of(folder: Path) -> str:
    """Name of what a folder holds."""
    return sha256(FileList.found_in(folder).model_dump_json().encode()).hexdigest()[:_NAME_DIGITS]
