"""What can be asked. Each kind is one place of a shop; all of them take the same path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ml.contract.errors import ContractError

MAX_LIMIT = 100
MAX_NAMED = 1_000
"""Items a request may name: in a cart, to be ranked, excluded, looked at in a session."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What every kind of request may say."""

    user_id: str | None = None
    """None or unknown: a stranger."""
    session_items: tuple[str, ...] = ()
    """What this session looked at, newest last; counts as views of this moment. All there is of a stranger."""
    region: str | None = None
    """Items sold only elsewhere are left out; None leaves out nothing."""
    exclude: frozenset[str] = frozenset()
    """Never these."""
    include: frozenset[str] = frozenset()
    """These may be shown though bought, in the cart or recently shown. What is out of stock, hidden, of another region or in
    `exclude` stays out."""
    limit: int = 12

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= self.most:
            raise ContractError(f"`limit` must be between 1 and {self.most}. Received: {self.limit}.")
        for name in ("session_items", "exclude", "include"):
            _check_named(name, getattr(self, name))

    @property
    def most(self) -> int:
        """Items one answer can hold."""
        return MAX_LIMIT

    @property
    def about(self) -> tuple[str, ...]:
        """The items whose page the list is for; never part of it."""
        return ()


@dataclass(frozen=True, kw_only=True)
class HomeRequest(_Request):
    """A list for one user, or for anybody when nothing is known of them."""

    surface: Literal["homepage"] = "homepage"


@dataclass(frozen=True, kw_only=True)
class ProductRequest(_Request):
    """A list for the page of one item."""

    item_id: str
    surface: Literal["product"] = "product"

    @property
    def about(self) -> tuple[str, ...]:
        return (self.item_id,)


@dataclass(frozen=True, kw_only=True)
class CartRequest(_Request):
    """What goes with everything in a cart. Items the bundle does not hold say nothing."""

    item_ids: tuple[str, ...]
    surface: Literal["cart"] = "cart"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_some("item_ids", self.item_ids)

    @property
    def about(self) -> tuple[str, ...]:
        return self.item_ids


@dataclass(frozen=True, kw_only=True)
class BoughtTogetherRequest(_Request):
    """What lay in one basket with an item most, then what is like it."""

    item_id: str
    surface: Literal["bought_together"] = "bought_together"

    @property
    def about(self) -> tuple[str, ...]:
        return (self.item_id,)


@dataclass(frozen=True, kw_only=True)
class RankRequest(_Request):
    """The caller's own items in this user's order. What a rule forbids is left out and named, with the rule."""

    item_ids: tuple[str, ...]
    limit: int = MAX_NAMED
    surface: Literal["rank"] = "rank"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_some("item_ids", self.item_ids)

    @property
    def most(self) -> int:
        return MAX_NAMED


Request = HomeRequest | ProductRequest | CartRequest | BoughtTogetherRequest | RankRequest


def _check_some(name: str, item_ids: Sequence[str]) -> None:
    if not item_ids:
        raise ContractError(f"`{name}` must name at least one item. Received: none.")
    _check_named(name, item_ids)


def _check_named(name: str, item_ids: Sequence[str] | frozenset[str]) -> None:
    if len(item_ids) > MAX_NAMED:
        raise ContractError(f"`{name}` may name at most {MAX_NAMED} items. Received: {len(item_ids)}.")
