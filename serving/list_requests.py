"""What every list may be asked with, as query parameters and as fields of a body."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ml.runtime.requests import MAX_LIMIT, MAX_NAMED
from serving.caller import SessionId, UserId

_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _number(given: object) -> object:
    if isinstance(given, bool | str):
        raise ValueError("Input should be a number")
    return given


# JSON has one kind of number, so 12.0 is 12; but neither `true` nor "12" is one.
_Whole = Annotated[int, BeforeValidator(_number)]

_RECENT = "What this session looked at, newest last; counts as views of this moment, so a visitor nobody knows gets a list of their own."
_REGION = (
    "Leaves out what is sold only in other regions. Left out: every region; in doubt the shop must say where it sells."
)
_EXCLUDE = "Never these."
_INCLUDE = (
    "These may be shown though bought, in the cart or recently shown. What is sold out, hidden or excluded stays out."
)
_FEW = 100
"""A URL has room for so many ids; a body takes `MAX_NAMED`."""


@dataclass(frozen=True)
class Wishes:
    """What a caller wants of a list besides its length."""

    recent_items: tuple[str, ...] = ()
    region: str | None = None
    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()

    def fields(self) -> dict[str, Any]:
        """As keywords of any request."""
        return {
            "session_items": self.recent_items,
            "region": self.region,
            "exclude": self.exclude,
            "include": self.include,
        }


class ListQuery(BaseModel):
    """What a page asks by its URL. One model and not a parameter each: FastAPI takes 20 us for every one of those."""

    model_config = ConfigDict(frozen=True)

    user_id: UserId = None
    session_id: SessionId = None
    recent_items: tuple[_Id, ...] = Field((), max_length=_FEW, description=_RECENT, examples=[["85123A", "22423"]])
    region: str | None = Field(None, min_length=1, max_length=64, description=_REGION, examples=["AT"])
    exclude: tuple[_Id, ...] = Field((), max_length=_FEW, description=_EXCLUDE, examples=[["22423"]])
    include: tuple[_Id, ...] = Field((), max_length=_FEW, description=_INCLUDE, examples=[["84879"]])
    limit: int = Field(12, ge=1, le=MAX_LIMIT, description="How many items.", examples=[12])

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.recent_items, self.region, frozenset(self.exclude), frozenset(self.include))


Asked = Annotated[ListQuery, Query()]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: _Id | None = Field(
        default=None, description="The shop's own id of the user; left out for a stranger.", examples=["17850"]
    )
    session_id: _Id | None = Field(default=None, description="The shop's own id of the visit.", examples=["s-7f3a"])
    recent_items: tuple[_Id, ...] = Field(default=(), max_length=MAX_NAMED, description=_RECENT, examples=[["85123A"]])
    region: str | None = Field(default=None, min_length=1, max_length=64, description=_REGION, examples=["AT"])
    exclude: tuple[_Id, ...] = Field(default=(), max_length=MAX_NAMED, description=_EXCLUDE, examples=[["22423"]])
    include: tuple[_Id, ...] = Field(default=(), max_length=MAX_NAMED, description=_INCLUDE, examples=[["84879"]])

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.recent_items, self.region, frozenset(self.exclude), frozenset(self.include))


class Cart(_Body):
    """A cart, and whose it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_ids": ["85123A", "22423"], "session_id": "s-7f3a", "limit": 6}]}
    )

    item_ids: tuple[_Id, ...] = Field(
        min_length=1,
        max_length=MAX_NAMED,
        description="What lies in the cart; none of it comes back. Ids the catalogue does not hold say nothing.",
        examples=[["85123A", "22423"]],
    )
    limit: _Whole = Field(default=12, ge=1, le=MAX_LIMIT, description="How many items.", examples=[12])


class ItemsToRank(_Body):
    """Items to be put in order, and for whom."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_ids": ["85123A", "22423", "84879"], "user_id": "17850"}]}
    )

    item_ids: tuple[_Id, ...] = Field(
        min_length=1,
        max_length=MAX_NAMED,
        description="In any order; one named twice counts once.",
        examples=[["85123A", "22423", "84879"]],
    )
    limit: _Whole = Field(default=MAX_NAMED, ge=1, le=MAX_NAMED, description="How many items.", examples=[20])
