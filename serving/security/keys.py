"""API keys: made once, kept as hashes, looked up in constant time, reloaded when their file changes."""

import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import PlatformError
from ml.contract.files import locked, write_atomically
from serving.settings import Environment, ServiceSettings

LIVE_PER_NAME = 2
"""The old key and its successor: enough to rotate without a gap, too few to lose count of."""
RELOAD_SECONDS = 1.0
_FORM = re.compile(r"aisle_([0-9a-f]{8})_[\w-]{43}", re.ASCII)
_NOBODY = "0" * 64
"""Compared against when no such key exists, so that this takes as long as a wrong secret does. No input has this hash."""

logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class ApiKey(BaseModel):
    """What is kept of one key. The key itself was shown once and is nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str = Field(pattern=r"^[0-9a-f]{8}$", description="Part of the key that is no secret; it may be logged.")
    name: str = Field(pattern=r"^[\w.-]{1,64}$", description="Who holds it.")
    scopes: frozenset[Scope] = Field(min_length=1, description="`admin` may do what `read` and `write` may.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the whole key.")
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @classmethod
    def make(cls, name: str, scopes: Iterable[Scope], *, now: datetime) -> tuple[str, Self]:
        """A new key, and what is to be kept of it."""
        key_id = secrets.token_hex(4)
        secret = f"aisle_{key_id}_{secrets.token_urlsafe(32)}"
        return secret, cls(key_id=key_id, name=name, scopes=frozenset(scopes), sha256=hash_of(secret), created_at=now)


class KeyFile(BaseModel):
    """The file of keys: hashes only, so that a copy of it opens nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """The keys of a file; none when there is no file.

        Raises:
            PlatformError: the file is not a list of keys.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise PlatformError(
                f"{path} must be a file of API keys, made by `python -m serving.security`. Received: {error}"
            ) from error

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.model_dump_json(indent=2))

    @classmethod
    def change(cls, path: Path, changed: Callable[[Self], Self]) -> None:
        """Read, change and write a file of keys as one step: of two commands at once, neither undoes the other.

        Raises:
            PlatformError: the file is not a list of keys, or cannot be changed so.
        """
        with locked(path.parent):
            changed(cls.read(path)).write(path)

    def with_key(self, key: ApiKey) -> Self:
        """This file and one more key.

        Raises:
            PlatformError: the name has two live keys already.
        """
        live = [old.key_id for old in self.keys if old.name == key.name and old.revoked_at is None]
        if len(live) >= LIVE_PER_NAME:
            raise PlatformError(
                f"A name may have {LIVE_PER_NAME} live keys, the old one and the new one. {key.name} has: {', '.join(live)}. "
                "Revoke one: `python -m serving.security revoke <key id>`."
            )
        return type(self)(keys=(*self.keys, key))

    def without(self, key_id: str, *, now: datetime) -> Self:
        """This file with one key revoked.

        Raises:
            PlatformError: there is no such live key.
        """
        live = [key.key_id for key in self.keys if key.revoked_at is None]
        if key_id not in live:
            raise PlatformError(
                f"Expected the id of a live key: {', '.join(live) or 'there is none'}. Received: {key_id}."
            )
        return type(self)(
            keys=tuple(key.model_copy(update={"revoked_at": now}) if key.key_id == key_id else key for key in self.keys)
        )


class KeyRing:
    """Answers whose key it is. Follows its file, so a new key works and a revoked one ends within a second, without a restart."""

    def __init__(self, path: Path, *, development_key: str | None = None) -> None:
        """
        Args:
            development_key: a key that may do everything, beside those of the file.

        Raises:
            PlatformError: the file is damaged.
        """
        self._path = path
        self._development = [] if development_key is None else [_development(development_key)]
        self._stamp = _stamp(path)
        self._live = self._read()
        self._next_look = monotonic() + RELOAD_SECONDS

    def __len__(self) -> int:
        return len(self._live)

    def find(self, presented: str) -> ApiKey | None:
        """The live key that was presented; None when there is none like it.

        SHA-256 and not a slow hash: a key is 256 random bits, which nobody can guess, so slowness would protect nothing and cost every request.
        """
        self._follow_file()
        form = _FORM.fullmatch(presented)
        key = self._live.get(form.group(1)) if form else None
        matches = hmac.compare_digest(hash_of(presented), key.sha256 if key else _NOBODY)
        return key if matches else None

    def _follow_file(self) -> None:
        if monotonic() < self._next_look:
            return
        self._next_look = monotonic() + RELOAD_SECONDS
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._live = self._read()
        except PlatformError as error:
            # An edit gone wrong must not lock the whole shop out; what was live stays live until the file is whole again.
            logger.error("API keys not reloaded: %s", error)

    def _read(self) -> dict[str, ApiKey]:
        keys = [*KeyFile.read(self._path).keys, *self._development]
        return {key.key_id: key for key in keys if key.revoked_at is None}


def key_ring(settings: ServiceSettings) -> KeyRing:
    """The keys of this process: those of the file, in development also the one kept in the home.

    Raises:
        PlatformError: in production, when there is no key to ask with.
    """
    if settings.environment is Environment.DEVELOPMENT:
        return KeyRing(settings.api_keys_path, development_key=development_key(settings.development_key_path))
    ring = KeyRing(settings.api_keys_path)
    if not len(ring):
        raise PlatformError(
            f"AISLE_ENVIRONMENT=production needs an API key. Received: none in {settings.api_keys_path}. "
            "Make one: `python -m serving.security new-key --name shop --scope read --scope write`."
        )
    return ring


def development_key(path: Path) -> str:
    """The key kept in a file that only its owner can read; made when there is none.

    Raises:
        PlatformError: the file holds something else.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"aisle_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}")
        try:
            os.link(draft, path)  # fails when another process was first: then its key is the one
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_text().strip()
    if not _FORM.fullmatch(key):
        raise PlatformError(
            f"{path} must hold one API key. Received: something else. Delete it: a new one is made at the next start."
        )
    return key


def hash_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _development(key: str) -> ApiKey:
    return ApiKey(
        key_id=key.split("_")[1],
        name="development",
        scopes=frozenset({Scope.ADMIN}),
        sha256=hash_of(key),
        created_at=datetime.fromisoformat("1970-01-01T00:00:00Z"),
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
