"""What an answer leaves out when its time runs short. The rules hold whatever is left out, and the list is filled all the same.

From `FEWER_AT` of the time spent each source proposes fewer candidates, from `UNRANKED_AT` a blend of the sources' shares takes
the ranker's place, from `POPULAR_AT` no candidates are looked for: the list is the popular one. Time that passes after the
candidates were found cannot make them fewer: then the ranker goes at `FEWER_AT`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

FEWER_AT, UNRANKED_AT, POPULAR_AT = 0.8, 0.9, 1.0
"""Shares of the time an answer has."""

SOME_CANDIDATES: Literal["some_candidates"] = "some_candidates"
CANDIDATES: Literal["candidates"] = "candidates"
RANKER: Literal["ranker"] = "ranker"

Omitted = Literal["some_candidates", "candidates"] | None
"""Of the candidates: some, all, or none of them."""


class Shedding(Protocol):
    """Decides what is left out; asked right before the work that would be saved."""

    def of_candidates(self) -> Omitted: ...

    def of_ranker(self, omitted: Omitted, /) -> bool:
        """Whether the candidates, of which some may be `omitted`, go unranked."""
        ...


@dataclass(frozen=True)
class Deadline:
    """The time one answer has, by a clock of the caller's."""

    seconds: float
    clock: Callable[[], float] = field(repr=False)
    """Seconds that never go back."""
    began_at: float
    """By the clock."""

    def left(self) -> float:
        """Seconds, never below 0."""
        return max(self.began_at + self.seconds - self.clock(), 0.0)

    def of_candidates(self) -> Omitted:
        share = self._share_spent()
        if share >= POPULAR_AT:
            return CANDIDATES
        return SOME_CANDIDATES if share >= FEWER_AT else None

    def of_ranker(self, omitted: Omitted, /) -> bool:
        return self._share_spent() >= (FEWER_AT if omitted is None else UNRANKED_AT)

    def _share_spent(self) -> float:
        return (self.clock() - self.began_at) / self.seconds


@dataclass(frozen=True)
class Shed:
    """What is left out, by name: with the names in an answer's `degraded` it comes out the same again."""

    names: Collection[str] = ()

    def of_candidates(self) -> Omitted:
        if CANDIDATES in self.names:
            return CANDIDATES
        return SOME_CANDIDATES if SOME_CANDIDATES in self.names else None

    def of_ranker(self, _omitted: Omitted, /) -> bool:
        return RANKER in self.names


NOTHING = Shed()
POPULAR = Shed((CANDIDATES,))
"""The popular list, whatever time there is."""
