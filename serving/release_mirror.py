"""Brings the live release of a bucket to this machine, in a thread of its own: no request and no swap ever waits for the network."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from ml.contract.release import nothing_released
from ml.storage import Mirror, store_at

LONGEST_PAUSE_SECONDS = 60.0
"""A store that failed is asked again after twice the pause, and after this at the latest."""
_JOIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MirrorState:
    """How this machine stands to the store."""

    remote: str
    in_step_at: datetime | None = None
    """When the store last said what is live and it was here, whole; None before the first time."""
    trouble: str | None = None
    """Why the last attempt failed. What was live here keeps answering."""


class ReleaseMirror:
    """`local` follows the release pointer of `remote`, or holds one version of it."""

    def __init__(self, remote: str, local: Path, *, pin: str | None = None, poll_seconds: float = 1.0) -> None:
        self._local = local
        self._pin = pin
        self._poll_seconds = poll_seconds
        self._state = MirrorState(remote)
        self._mirror: Mirror | None = None
        self._stopping = Event()
        self._thread: Thread | None = None

    @property
    def state(self) -> MirrorState:
        return self._state

    def start(self) -> None:
        """Begin to follow. Returns at once: what is here already can answer meanwhile."""
        self._stopping.clear()
        self._thread = Thread(target=self._follow, name="release-mirror", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following. An attempt that hangs in the network is left to its time-out."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def pull(self) -> bool:
        """One attempt; whether it went well."""
        try:
            self._bring()
        except Exception as error:  # noqa: BLE001 - a thread that died of whatever the network does would never catch up again
            self._state = replace(self._state, trouble=str(error) or repr(error))
            logger.warning("Releases of %s cannot be followed: %s", self._state.remote, self._state.trouble)
            return False
        self._state = replace(self._state, in_step_at=datetime.now(UTC), trouble=None)
        return True

    def _follow(self) -> None:
        pause = self._poll_seconds
        while True:
            went_well = self.pull()
            pause = self._poll_seconds if went_well else min(pause * 2, LONGEST_PAUSE_SECONDS)
            # A pinned version does not change once it is here.
            if (went_well and self._pin) or self._stopping.wait(pause):
                return

    def _bring(self) -> None:
        first = self._mirror is None
        mirror = self._mirror or Mirror(store_at(self._state.remote), self._local)
        if self._pin is None:
            # The first time every hash is compared: a copy that was damaged while nobody looked is mended.
            if mirror.pull(thorough=first) is None:
                raise nothing_released(self._state.remote)
        else:
            mirror.fetch(self._pin)
        self._mirror = mirror
