"""What goes over the wire about what people did."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from ml.contract.events import EventType
from serving.request_id import SANE

MAX_BATCH = 1_000
CLOCK_SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=730)

# PostgreSQL cannot hold a NUL, and no id needs a control character.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_Id = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_PRINTABLE)]
_EventId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_PRINTABLE)]


class NewInteraction(BaseModel):
    """Something a user did, or somebody in a session did."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}} for name in ("user_id", "session_id")
            ],
            "examples": [
                {
                    "item_id": "85123A",
                    "event_type": "purchase",
                    "user_id": "17850",
                    "event_id": "e-20261121-000017",
                    "quantity": 2,
                    "price": 2.55,
                    "order_id": "536365",
                    "request_id": "9f1c6a50b1d94f2a",
                }
            ],
        },
    )

    item_id: _Id = Field(description="The shop's own id of the item.", examples=["85123A"])
    event_type: EventType = Field(examples=["cart_add"])
    user_id: _Id | None = Field(
        default=None,
        description="The shop's own id; kept as a pseudonym. This, `session_id` or both.",
        examples=["17850"],
    )
    session_id: _Id | None = Field(
        default=None, description="The shop's own id of the visit; kept as a pseudonym.", examples=["s-7f3a"]
    )
    event_id: _EventId | None = Field(
        default=None,
        description="Sent twice, it counts once. Left out: made of the content, so send `occurred_at` if you may have to repeat.",
        examples=["e-20261121-000017"],
    )
    occurred_at: AwareDatetime | None = Field(
        default=None,
        # No example: whatever instant stood here would one day be too long ago. `YYYY` cannot be sent by mistake.
        description="As `YYYY-MM-DDThh:mm:ssZ`, with a time zone. Left out: now. At most five minutes ahead (then it counts as now), "
        "at most two years ago.",
    )
    quantity: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False, strict=True, examples=[2])
    price: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description="Of one piece, in the shop's currency.",
        examples=[2.55],
    )
    order_id: _Id | None = Field(default=None, description="The order a purchase belongs to.", examples=["536365"])
    request_id: Annotated[str, StringConstraints(pattern=f"^{SANE}$")] | None = Field(
        default=None,
        description="`request_id` of the list it came from: what makes a click, and what follows, count for that list.",
        examples=["9f1c6a50b1d94f2a"],
    )

    @model_validator(mode="after")
    def _somebody_did_it(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("user_id, session_id or both must be given")
        return self

    def instant(self, *, now: datetime) -> datetime:
        """When it happened; never after `now`: a clock a little ahead is set back.

        Raises:
            ValueError: too far ahead, or too long ago.
        """
        occurred_at = now if self.occurred_at is None else self.occurred_at
        if occurred_at > now + CLOCK_SKEW:
            raise ValueError("occurred_at must not be more than five minutes ahead")
        if occurred_at < now - OLDEST:
            raise ValueError("occurred_at must not be more than two years ago")
        return min(occurred_at, now)


class InteractionBatch(BaseModel):
    """Several of them; each gets its own verdict."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"interactions": [{"item_id": "85123A", "event_type": "view", "session_id": "s-7f3a"}]}]
        },
    )

    interactions: tuple[dict[str, Any], ...] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Each with the fields of one interaction. One that does not fit is rejected alone, and its verdict says why.",
    )


def _kind(body: Any) -> str:
    return (
        "batch"
        if isinstance(body, InteractionBatch) or (isinstance(body, dict) and "interactions" in body)
        else "single"
    )


Interactions = Annotated[
    Annotated[NewInteraction, Tag("single")] | Annotated[InteractionBatch, Tag("batch")], Discriminator(_kind)
]


class InteractionVerdict(BaseModel):
    """What became of one interaction."""

    model_config = ConfigDict(frozen=True)

    status: Literal["accepted", "duplicate", "rejected"] = Field(
        description="`accepted`: it is on the disk. `duplicate`: it already was. `rejected`: it is not what it must be."
    )
    event_id: str | None = Field(default=None, description="Null when it was rejected.", examples=["e-20261121-000017"])
    reason: str | None = Field(default=None, description="Why it was rejected.", examples=[None])


class InteractionReceipt(BaseModel):
    """An acknowledgement: what is accepted or a duplicate here is not lost any more."""

    model_config = ConfigDict(frozen=True)

    accepted: int = Field(examples=[1])
    duplicates: int = Field(examples=[0])
    rejected: int = Field(examples=[0])
    results: tuple[InteractionVerdict, ...] = Field(description="One for each, in the order they were sent.")
    degraded: tuple[str, ...] = Field(
        default=(), description="`online_state` when the next list may not know of them yet.", examples=[[]]
    )
    request_id: str = Field(examples=["9f1c6a50b1d94f2a"])

    @classmethod
    def of(cls, verdicts: tuple[InteractionVerdict, ...], *, degraded: tuple[str, ...], request_id: str) -> Self:
        accepted, duplicates, rejected = (
            sum(verdict.status == status for verdict in verdicts) for status in ("accepted", "duplicate", "rejected")
        )
        return cls(
            accepted=accepted,
            duplicates=duplicates,
            rejected=rejected,
            results=verdicts,
            degraded=degraded,
            request_id=request_id,
        )
