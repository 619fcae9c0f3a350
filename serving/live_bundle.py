"""The bundle that answers, and the thread that replaces it when another release becomes the live one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import ml
from ml.contract.errors import BundleError, ReleaseError
from ml.contract.manifest import MANIFEST
from ml.contract.release import POINTER, ReleasePointer
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.golden import Golden
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest, Request
from serving.pace import Hashes, Pace, behind_others
from serving.release_mirror import MirrorState, ReleaseMirror

RETRY_SECONDS = 60.0
"""A refused release is tried again this often: its disk may have been the trouble. Opening costs seconds, so not at every poll."""
JOIN_SECONDS = 5.0
"""One part of a huge bundle may take longer to open; it is left to itself when the service stops."""
_WARM_REQUESTS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveRelease:
    """One opened, verified and warmed release."""

    bundle: Bundle
    opened_at: datetime
    pointer: ReleasePointer | None
    """None when the version is pinned, or stands in for the live release that this process could not open."""


@dataclass(frozen=True)
class Refusal:
    """Why the release that should be live is not."""

    reason: str
    refused_at: datetime


class LiveBundle:
    """Holds one release at a time. A request reads `release` once and keeps to it, so no answer mixes two versions."""

    def __init__(
        self,
        releases: Path,
        *,
        pin: str | None = None,
        poll_seconds: float = 1.0,
        mirror: ReleaseMirror | None = None,
    ) -> None:
        self._releases = releases
        self._mirror = mirror
        self._pin = pin
        self._poll_seconds = poll_seconds
        self._release: LiveRelease | None = None
        self._refusal: Refusal | None = None
        self._swaps = self._refusals = 0
        self._stamp: tuple[int, int] | None = None
        self._next_try = 0.0
        self._stopping = Event()
        self._pace = Pace(self._stopping)
        self._hashes = Hashes(self._pace.rest)
        self._thread: Thread | None = None

    @property
    def release(self) -> LiveRelease:
        """The release that answers.

        Raises:
            ReleaseError: none could be opened yet; the message says why and what to run.
        """
        if self._release is None:
            raise ReleaseError(self._why_none())
        return self._release

    @property
    def is_open(self) -> bool:
        """Some release answers."""
        return self._release is not None

    @property
    def refusal(self) -> Refusal | None:
        """Set while an older release, or none, answers instead of the one that should be live."""
        return self._refusal

    @property
    def swaps(self) -> int:
        """Bundles put in place since this process began, the first one included."""
        return self._swaps

    @property
    def refusals(self) -> int:
        """Attempts to open a release that failed since this process began."""
        return self._refusals

    @property
    def is_pinned(self) -> bool:
        """One version answers whatever the pointer says."""
        return self._pin is not None

    @property
    def mirror(self) -> MirrorState | None:
        """How this machine's releases stand to the store they come from; None when they come from nowhere else."""
        return self._mirror.state if self._mirror else None

    def start(self, *, gently: bool = False) -> None:
        """Open what is live and follow the pointer from then on. Returns when the first attempt is over, good or bad.

        Args:
            gently: others answer on these cores, and they come first.
        """
        self._stopping.clear()
        if self._mirror is not None:
            self._mirror.start()
        if gently:
            behind_others(self.refresh)
        else:
            self.refresh()
        self._thread = Thread(target=self._follow, name="live-bundle", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, in the middle of a release that is being opened too; what is live keeps answering."""
        self._stopping.set()
        if self._mirror is not None:
            self._mirror.stop()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    def refresh(self) -> None:
        """Make the release that should be live the one that answers, if that changed; keep the old one if it cannot be opened."""
        stamp = self._stamp_of_target()
        if stamp == self._stamp and monotonic() < self._next_try:
            return
        self._stamp, self._next_try = stamp, monotonic() + RETRY_SECONDS
        try:
            opened = self._opened()
        except Exception as error:  # noqa: BLE001 - whatever a broken bundle does to a native library, the old one must keep answering
            if self._stopping.is_set():
                return
            self._refuse(error)
            if self._release is None:
                self._fall_back()
            return
        # In this order: whoever sees the new release must not be told any more that it was refused.
        self._refusal, self._next_try = None, float("inf")
        self._put(opened)

    def _refuse(self, error: Exception) -> None:
        self._hashes.forget()  # the next attempt reads everything again: perhaps the disk was the trouble
        self._refusal = Refusal(str(error) or repr(error), datetime.now(UTC))
        self._refusals += 1
        logger.warning("Release refused: %s", self._refusal.reason)

    def _fall_back(self) -> None:
        """Answer from the release that was live before, if it is whole, until the live one can be opened: an old list is better than none."""
        version = self._version_before()
        if version is None:
            return
        try:
            before = self._verified(version, self._releases / version, pointer=None)
        except Exception as error:  # noqa: BLE001 - as in `refresh`; there is nothing left to answer from
            logger.warning("The release before it cannot answer either: %s", str(error) or repr(error))
            return
        logger.warning("Bundle %s was live before and answers until the live one can.", version)
        self._put(before)

    def _version_before(self) -> str | None:
        """What a rollback would return to; None when that is unknown, not kept, or not what is wanted."""
        if self._pin:
            return None
        try:
            version = ReleasePointer.read(self._releases).previous
            # Looked up among the folders: what a pointer says never becomes a path.
            kept = {folder.name for folder in self._releases.iterdir()}
        except (ReleaseError, OSError):
            return None
        return version if version in kept else None

    def _put(self, opened: LiveRelease) -> None:
        if self._release is None or opened.bundle is not self._release.bundle:
            self._swaps += 1
        self._release = opened

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.refresh()

    def _why_none(self) -> str:
        if self.mirror is not None and self.mirror.in_step_at is None:
            return self.mirror.trouble or f"The live release of {self.mirror.remote} is on its way here."
        return self._refusal.reason if self._refusal else "The release bundle is still being opened."

    def _opened(self) -> LiveRelease:
        pointer = None if self._pin else ReleasePointer.read(self._releases)
        version = pointer.version if pointer else str(self._pin)
        if self._release is not None and self._release.bundle.version == version:
            return replace(self._release, pointer=pointer)
        folder = pointer.bundle_in(self._releases) if pointer else self._releases / version
        return self._verified(version, folder, pointer=pointer)

    def _verified(self, version: str, folder: Path, *, pointer: ReleasePointer | None) -> LiveRelease:
        """A release that was read whole, warmed, and answered as it must."""
        self._pace.begin(hurry=self._release is None)
        with self._pace.at_every_call():
            bundle = open_bundle(folder, entry_of=self._hashes.entry_of, rest=self._pace.rest)
            self._hashes.forget_missing()
            if bundle.version != version:
                raise BundleError(
                    f"Expected bundle {version} in {folder}. Received: {bundle.version}. "
                    "Run `aisle rollback`, or pin another AISLE_BUNDLE."
                )
            warm(bundle, now=datetime.now(UTC), rest=self._pace.rest)
            ask_golden(bundle, folder, rest=self._pace.rest)
        logger.info("Bundle %s answers from now on.", bundle.version)
        return LiveRelease(bundle, datetime.now(UTC), pointer)

    def _stamp_of_target(self) -> tuple[int, int] | None:
        """Changes whenever the file that says what is live is replaced; None while there is none."""
        path = self._releases / self._pin / MANIFEST if self._pin else self._releases / POINTER
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


def warm(bundle: Bundle, *, now: datetime, rest: Callable[[], None] = lambda: None) -> None:
    """Ask a bundle what will be asked: fills its caches before the first customer waits for them, and proves that it answers.

    Raises:
        BundleError: it has items to show and shows none.
    """
    user_ids = bundle.users.vocabulary.ids.slice(0, _WARM_REQUESTS).to_pylist()
    item_ids = bundle.items.vocabulary.ids.slice(0, _WARM_REQUESTS).to_pylist()
    homes: list[Request] = [HomeRequest(user_id=user_id) for user_id in (None, *user_ids)]
    for request in homes + [ProductRequest(item_id=item_id) for item_id in item_ids]:
        rest()
        answer = recommend(bundle, request, now=now)
        # A product page leaves its own item out, so two available items are the least that must give a list.
        if not answer.items and bundle.items.available.sum() > 1:
            raise BundleError(
                f"Bundle {bundle.version} must answer a question for {request.surface}. Received: an empty list."
            )
        for item in answer.items:
            bundle.display(item.item_row)


def ask_golden(bundle: Bundle, folder: Path, *, rest: Callable[[], None] = lambda: None) -> None:
    """Compare a bundle's answers with those it gave where it was written.

    Raises:
        BundleError: they differ although the code is the same. After a change of the code they may: that is said in the log alone, or
            nobody could go back to a release of before it.
    """
    golden = Golden.read(folder)
    differing = golden.differing(bundle, rest=rest) if golden else None
    if differing is None:
        return
    assert bundle.manifest is not None  # `open_bundle` always reads one
    if bundle.manifest.facts.code_version == ml.__version__:
        raise BundleError(differing)
    logger.warning("Written by Aisle %s, read by %s: %s", bundle.manifest.facts.code_version, ml.__version__, differing)
