"""What can be asked, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass

from ml.contract.errors import ContractError

MAX_LIMIT = 100


@dataclass(frozen=True, kw_only=True)
class HomeRequest:
    """A list for one user, or for anybody when `user_id` is None or unknown."""

    user_id: str | None = None
    limit: int = 12
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _check_limit(self.limit)


@dataclass(frozen=True, kw_only=True)
class ProductRequest:
    """A list for the page of one item."""

    item_id: str
    user_id: str | None = None
    limit: int = 12
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _check_limit(self.limit)


Request = HomeRequest | ProductRequest


@dataclass(frozen=True)
class RankedItem:
    """One line of an answer."""

    item_id: str
    item_row: int
    score: float
    position: int
    """From 1."""
    source: str
    """The source that spoke loudest for the item."""
    sources: Mapping[str, float]
    """Every source that proposed it, with its score in [0, 1] of that source's best."""


@dataclass(frozen=True)
class RankedList:
    """An answer: at most `limit` distinct allowed items, best first; fewer only if fewer are allowed."""

    items: tuple[RankedItem, ...]
    bundle_version: str
    personalised: bool
    degraded: tuple[str, ...] = ()
    """Stages that were skipped, by name."""


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise ContractError(f"`limit` must be between 1 and {MAX_LIMIT}. Received: {limit}.")
