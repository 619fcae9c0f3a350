"""What a bundle answered where it was written. A machine that answers otherwise has other models, tables or arithmetic than were judged."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import BundleError
from ml.contract.manifest import REMEDY
from ml.runtime.bundle import Bundle, Names
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest, Request

LISTED = 10
ASKED = 4
"""Users, and items, that are asked about beside a stranger."""
MIN_SAME = 0.8
"""Share of an answer that must come back: another processor adds in another order, so near the end of a list two items may change places."""
SCORE_TOLERANCE = 1e-3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoldenAnswer(_Frozen):
    """One question and its answer."""

    user_id: str | None = None
    item_id: str | None = Field(default=None, description="A product's page; a home page when null.")
    scores: dict[str, float] = Field(description="By item, best first.")

    @property
    def request(self) -> Request:
        if self.item_id is not None:
            return ProductRequest(item_id=self.item_id, limit=LISTED)
        return HomeRequest(user_id=self.user_id, limit=LISTED)

    def answered(self, bundle: Bundle, *, now: datetime) -> Self:
        """What a bundle says now."""
        answer = recommend(bundle, self.request, now=now)
        for item in answer.items:
            bundle.display(item.item_row)
        return self.model_copy(update={"scores": {item.item_id: float(item.score) for item in answer.items}})

    def agrees_with(self, other: Self) -> bool:
        """Whether nearly all items are in both, with the same scores."""
        same = sum(
            item in other.scores and abs(score - other.scores[item]) <= SCORE_TOLERANCE * max(1.0, abs(score))
            for item, score in self.scores.items()
        )
        return same >= MIN_SAME * max(len(self.scores), len(other.scores))


class Golden(_Frozen):
    """Questions with their answers, in the bundle's `golden.json`."""

    asked_at: datetime = Field(description="The instant of every question.")
    answers: tuple[GoldenAnswer, ...]

    @classmethod
    def of(cls, bundle: Bundle, *, now: datetime) -> Self:
        """The answers of a bundle: to a stranger, some users, and on the pages of some items."""
        users, items = bundle.users.vocabulary.ids, bundle.items.vocabulary.ids
        questions = [
            GoldenAnswer(scores={}),
            *(GoldenAnswer(user_id=user, scores={}) for user in users.slice(0, ASKED).to_pylist()),
            *(GoldenAnswer(item_id=item, scores={}) for item in items.slice(0, ASKED).to_pylist()),
        ]
        return cls(asked_at=now, answers=tuple(each.answered(bundle, now=now) for each in questions))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Those of a bundle's folder; None in one of before there were any.

        Raises:
            BundleError: they cannot be read.
        """
        path = folder / Names.GOLDEN
        if not path.exists():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BundleError(f"{Names.GOLDEN} of bundle {folder.name} cannot be read ({error}). {REMEDY}") from error

    def write(self, folder: Path) -> None:
        (folder / Names.GOLDEN).write_text(self.model_dump_json(indent=1))

    def differing(self, bundle: Bundle, *, rest: Callable[[], None] = lambda: None) -> str | None:
        """The first question that is answered otherwise now, in words; None when there is none.

        Args:
            rest: called between any two questions.
        """
        for number, expected in enumerate(self.answers, start=1):
            rest()
            received = expected.answered(bundle, now=self.asked_at)
            if not expected.agrees_with(received):
                # Nobody's id and nobody's list: this is told to whoever asks whether the service is ready.
                return (
                    f"Bundle {bundle.version} must answer golden question {number} ({expected.request.surface}) as it did when it was written. "
                    f"Received: another list, or scores that differ by more than {SCORE_TOLERANCE:g} of themselves. {REMEDY}"
                )
        return None
