"""Parts of the users and of the outcomes that are looked at apart: a mean over all hides who is served badly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Rows
from ml.evaluation.baselines import Past
from ml.evaluation.ranking_metrics import Relevant
from ml.features.history import SECONDS_PER_DAY

CATEGORY = "category: "
"""What the name of a category's slice begins with."""


class SliceSettings(BaseModel):
    """Where the lines between slices run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the sold items, most bought first, that are not tail."
    )
    new_item_days: float = Field(
        default=14, gt=0, le=365, description="An item is new this long after its first event."
    )
    categories: int = Field(
        default=5, ge=0, le=100, description="So many categories, those most is wanted of, are looked at apart."
    )


@dataclass(frozen=True)
class Slice:
    """Some users and, of theirs, some outcomes. Lists stay whole: a hit outside the slice keeps its place and counts nothing."""

    name: str
    meaning: str
    """For a reader of the report."""
    users: NDArray[np.bool_]
    """`[num_users]`."""
    pairs: NDArray[np.bool_]
    """`[num_pairs]` of the `Relevant` it was made for."""

    def of(self, relevant: Relevant) -> Relevant:
        """The outcomes inside the slice; users outside it are left with none, so they are not judged."""
        return relevant.where(self.pairs & self.users[relevant.owners])


def standard_slices(relevant: Relevant, past: Past, settings: SliceSettings | None = None) -> tuple[Slice, ...]:
    """The slices every shop has, `all` first."""
    settings = settings or SliceSettings()
    any_user = np.ones(relevant.num_users, np.bool_)
    any_pair = np.ones(len(relevant.item_rows), np.bool_)
    new = past.events_of_users == 0
    middle = np.median(past.events_of_users[~new]) if (~new).any() else 0
    light = ~new & (past.events_of_users <= middle)
    bought_before = ever_bought(relevant, past)
    tail = ~head_items(past, share=settings.head_share)[relevant.item_rows]
    fresh = new_items(past, days=settings.new_item_days)[relevant.item_rows]
    return (
        Slice("all", "every user, everything they bought", any_user, any_pair),
        Slice("new_to_user", "only what the user had never bought before", any_user, ~bought_before),
        Slice("bought_before", "only what the user had bought before", any_user, bought_before),
        Slice("new_users", "users without any event before the cut", new, any_pair),
        Slice("light_users", f"known users with at most {middle:g} events, the median", light, any_pair),
        Slice("heavy_users", f"known users with more than {middle:g} events, the median", ~new & ~light, any_pair),
        Slice(
            "tail_items", f"only items outside the most bought {settings.head_share:.0%} of those sold", any_user, tail
        ),
        Slice("new_items", f"only items first seen within {settings.new_item_days:g} days, or never", any_user, fresh),
    )


def category_slices(
    relevant: Relevant, categories: Rows, names: Sequence[str], settings: SliceSettings | None = None
) -> tuple[Slice, ...]:
    """One slice for each of the categories most was wanted of; of equals the first by name.

    Args:
        categories: `[num_items]` positions in `names`, -1 unknown.
    """
    of_pairs = categories[relevant.item_rows]
    wanted = np.bincount(of_pairs[of_pairs >= 0], minlength=len(names))
    largest = [code for code in np.argsort(-wanted, kind="stable") if wanted[code]]
    any_user = np.ones(relevant.num_users, np.bool_)
    return tuple(
        Slice(CATEGORY + names[code], f"only items of the category {names[code]}", any_user, of_pairs == code)
        for code in largest[: (settings or SliceSettings()).categories]
    )


def ever_bought(relevant: Relevant, past: Past) -> NDArray[np.bool_]:
    """Whether the pair's user had bought its item before the cut `[num_pairs]`."""
    users = past.user_rows[relevant.owners]
    bought = _keys(past.purchases.user_rows, past.purchases.item_rows, past)
    return np.isin(_keys(users, relevant.item_rows, past), bought) & (users >= 0)


def head_items(past: Past, *, share: float) -> NDArray[np.bool_]:
    """The most bought `share` of the items ever sold, rounded up; of equals the lower row `[num_items]`."""
    num_head = int(np.ceil(share * np.count_nonzero(past.times_bought)))
    head = np.zeros(past.num_items, np.bool_)
    head[np.argsort(-past.times_bought, kind="stable")[:num_head]] = True
    return head


def new_items(past: Past, *, days: float) -> NDArray[np.bool_]:
    """Items without an event older than `days` before the cut `[num_items]`."""
    old = past.log.item_rows[past.log.occurred_at < past.cut - days * SECONDS_PER_DAY]
    return np.bincount(old, minlength=past.num_items) == 0


def _keys(user_rows: Rows, item_rows: Rows, past: Past) -> NDArray[np.int64]:
    return user_rows.astype(np.int64) * past.num_items + item_rows
