"""What an answer may show: the one place where items are forbidden, whatever the path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Rows
from ml.features.history import SECONDS_PER_DAY
from ml.runtime.items import ItemTable
from ml.runtime.requests import RankRequest, Request
from ml.runtime.rules import Rules
from ml.runtime.state import OnlineState

OUT_OF_STOCK, HIDDEN, OTHER_REGION, UNKNOWN = "out_of_stock", "hidden", "other_region", "unknown"
ABOUT, EXCLUDED, PURCHASED, IN_CART, RECENTLY_SHOWN = "about", "excluded", "purchased", "in_cart", "recently_shown"


@dataclass(frozen=True)
class Allowed:
    """What one answer may show, and what forbids the rest."""

    items: ItemTable
    request: Request
    mask: NDArray[np.bool_]
    """What no rule forbids `[num_items]`."""
    forbidden: Mapping[str, Rows]
    """By rule: what it takes out of this answer though the shop as a whole would show it."""

    @property
    def listed(self) -> NDArray[np.bool_]:
        """What may be in the list `[num_items]`: of a rank request, the caller's items alone."""
        if not isinstance(self.request, RankRequest):
            return self.mask
        listed, asked = np.zeros_like(self.mask), self.items.rows_of(self.request.item_ids)
        listed[asked] = self.mask[asked]
        return listed

    def reasons(self, row: int) -> tuple[str, ...]:
        """Every rule that forbids an item; empty for an allowed one."""
        table, region = self.items.table, self.request.region
        stock = table["stock"][row].as_py()
        shop = {
            OUT_OF_STOCK: stock is not None and stock <= 0,
            HIDDEN: table["is_active"][row].as_py() is False,
            OTHER_REGION: region is not None and not self.items.sold_in(region, row),
        }
        names = [name for name, holds in shop.items() if holds]
        return (*names, *(name for name, rows in self.forbidden.items() if row in rows))


def allowed_items(items: ItemTable, rules: Rules, request: Request, state: OnlineState, *, now: datetime) -> Allowed:
    """Which items may be shown for a request."""
    forbidden = _forbidden(items, rules, request, state, now=now)
    mask = items.available_in(request.region)
    if forbidden:
        mask = mask.copy()
        for rows in forbidden.values():
            mask[rows] = False
    return Allowed(items, request, mask, forbidden)


def _forbidden(
    items: ItemTable, rules: Rules, request: Request, state: OnlineState, *, now: datetime
) -> dict[str, Rows]:
    at = int(now.timestamp())
    found = {name: items.rows_of(ids) for name, ids in ((ABOUT, request.about), (EXCLUDED, request.exclude)) if ids}
    personal: dict[str, Rows] = {}
    if rules.exclude_purchased:
        personal[PURCHASED] = _not_to_buy_again(items, rules, state, at=at)
    if rules.exclude_in_cart:
        personal[IN_CART] = state.in_cart(at=at, kept_days=rules.cart_days)
    if rules.recently_shown_hours is not None and state.recently_shown:
        personal[RECENTLY_SHOWN] = items.rows_of(state.shown_since(now - timedelta(hours=rules.recently_shown_hours)))
    if request.include:
        included = items.rows_of(request.include)
        personal = {name: np.setdiff1d(rows, included) for name, rows in personal.items()}
    found |= personal
    return {name: rows for name, rows in found.items() if len(rows)}


def _not_to_buy_again(items: ItemTable, rules: Rules, state: OnlineState, *, at: int) -> Rows:
    days = rules.repurchase_after_days
    rows = state.purchased(since=None if days is None else at - int(days * SECONDS_PER_DAY))
    return rows[~items.is_one_of(rows, rules.repeatable)] if rules.repeatable else rows
