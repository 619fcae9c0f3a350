"""From items by score to places of a list: popular items complete it, limits hold among the first ten."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Rows
from ml.runtime.bundle import Bundle
from ml.runtime.items import ItemTable
from ml.runtime.kernel import Kernel, address, compiled, structs
from ml.runtime.rules import Rules, boosts

TOP = 10
FIRST_LOOK = 256
"""Popular items a list is filled from before more of them are looked at; `MAX_LIMIT` fits in."""

GROUPS_AT_ONCE = 32
"""Items whose groups are looked up at once: the first ten are most often found among so many."""


def placed(bundle: Bundle, ranked: Rows, listed: NDArray[np.bool_], *, reach: int, at: int) -> Rows:
    """The first `reach` places: the ranked items, then popular ones of those `listed`; one that is over a limit stands behind the
    tenth place, unless everything else would be over one too."""
    spread = Spread.of(bundle.items, bundle.settings.rules)
    if not spread.limits:
        missing = reach - len(ranked)
        return ranked[:reach] if missing <= 0 else _filled(bundle, ranked, listed, missing=missing, at=at)
    rows, first, missing = ranked, spread.first(ranked), 0
    # The ten may need an item that no source proposed, however deep it lies in the catalogue; most often it lies near the top.
    while (len(rows) < reach or len(first) < TOP) and len(rows) == len(ranked) + missing:
        missing = max(FIRST_LOOK, 8 * missing)
        rows = _filled(bundle, ranked, listed, missing=missing, at=at)
        first = spread.first(rows)
    return behind(first, rows[: reach + TOP])[:reach]


def behind(first: Rows, rows: Rows) -> Rows:
    """All rows in a new order: the first ten, and behind them the others as they were."""
    ahead = first.tolist()
    return np.array([*ahead, *(row for row in rows.tolist() if row not in ahead)], np.int32)


def _filled(bundle: Bundle, ranked: Rows, listed: NDArray[np.bool_], *, missing: int, at: int) -> Rows:
    unseen = listed.copy()
    unseen[ranked] = False
    if not unseen.any():  # as of a rank request: all that may be shown was named, and so has a score
        return ranked
    return np.concatenate([ranked, _popular(bundle, unseen, first=missing, at=at)])


def _popular(bundle: Bundle, allowed: NDArray[np.bool_], *, first: int, at: int) -> Rows:
    """The `first` allowed items by popularity times boosts."""
    rules, popularity = bundle.settings.rules, bundle.sources.popularity
    most = rules.most_boost
    plain = popularity.first(first, allowed)
    if most == 1.0 or not len(plain):
        return plain
    # What is less popular than this cannot be lifted so far, and what nobody wants cannot be lifted at all.
    # Looking at the whole of a million items takes 3 ms.
    last = popularity.recent[plain[-1]]
    head = popularity.down_to(last / most, allowed) if last > 0 else plain
    factors = boosts(bundle.items, rules, head, at=at, exposure=bundle.exposure)
    assert factors is not None  # `most` says so
    return head[np.argsort(-popularity.recent[head] * factors, kind="stable")][:first]


@dataclass(frozen=True)
class Spread:
    """At most so many of one group among the first ten, for each of several kinds of group."""

    names: tuple[str, ...]
    """Of the rules."""
    groups: tuple[Rows, ...]
    """Group of every item of the catalogue `[num_items]` by kind; -1 belongs to none."""
    limits: tuple[int, ...]
    """By kind."""

    @classmethod
    def of(cls, items: ItemTable, rules: Rules) -> Self:
        """The kinds that have a limit."""
        kinds = (("max_per_category_in_top_10", items.categories), ("max_per_seller_in_top_10", items.sellers))
        limited = [(name, groups, limit) for name, groups in kinds if (limit := getattr(rules, name)) is not None]
        return cls(*(tuple(column) for column in zip(*limited, strict=True))) if limited else cls((), (), ())

    def first(self, rows: Rows) -> Rows:
        """The first ten: the best item that breaks no limit, and again; fewer when every other item would break one."""
        kernel = compiled()
        return self.first_by_numpy(rows) if kernel is None else self.first_by_kernel(rows, kernel)

    def first_by_kernel(self, rows: Rows, kernel: Kernel) -> Rows:
        first = np.empty(TOP, np.int32)
        limits = structs(
            (address(groups, np.int32), limit) for groups, limit in zip(self.groups, self.limits, strict=True)
        )
        count = kernel.first_within_limits(
            address(rows, np.int32), len(rows), limits.buffer_info()[0], len(self.limits), TOP, address(first, np.int32)
        )
        return first[:count]

    def first_by_numpy(self, rows: Rows) -> Rows:
        taken: list[int] = []
        counts = [Counter[int]() for _ in self.limits]
        for row, groups in self._with_groups(rows):
            members = [
                (count, group, limit)
                for count, group, limit in zip(counts, groups, self.limits, strict=True)
                if group >= 0
            ]
            if all(count[group] < limit for count, group, limit in members):
                taken.append(row)
                for count, group, _ in members:
                    count[group] += 1
            if len(taken) == TOP:
                break
        return np.array(taken, np.int32)

    def _with_groups(self, rows: Rows) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Each row with its groups, a few at a time: a catalogue is long."""
        for start in range(0, len(rows), GROUPS_AT_ONCE):
            some = rows[start : start + GROUPS_AT_ONCE]
            yield from zip(
                some.tolist(), zip(*(groups[some].tolist() for groups in self.groups), strict=True), strict=True
            )

    def full_for(self, row: int, top: Rows) -> tuple[str, ...]:
        """The rules that allow no more of an item's group among `top`."""
        kinds = zip(self.names, self.groups, self.limits, strict=True)
        return tuple(
            name for name, groups, limit in kinds if groups[row] >= 0 and (groups[top] == groups[row]).sum() >= limit
        )

    def may_replace(self, shown: Rows, pool: Rows) -> NDArray[np.bool_]:
        """Whether an item of the pool may take a place of a list `[len(shown), len(pool)]`: no group that is over its limit grows."""
        fits = np.ones((len(shown), len(pool)), np.bool_)
        top = shown[:TOP]
        for groups, limit in zip(self.groups, self.limits, strict=True):
            same = groups[top][:, None] == groups[pool][None, :]
            fits[:TOP] &= same | (same.sum(axis=0) < limit) | (groups[pool] < 0)
        return fits
