"""What goes over the wire."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ml.runtime.answer import RankedItem, RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.requests import BoughtTogetherRequest, ProductRequest
from serving.caller import Caller
from serving.live_bundle import LiveRelease, Refusal
from serving.release_mirror import MirrorState


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    def as_response(self) -> Response:
        """As it goes out. FastAPI would validate an answer once more, and dump it by way of Python's objects."""
        return Response(self.model_dump_json(), media_type="application/json")


class Recommendation(_Answer):
    """One item of a list."""

    product_id: str = Field(description="The shop's own id.", examples=["85123A"])
    name: str | None = Field(examples=["White hanging heart t-light holder"])
    category: str | None = Field(examples=["Lighting"])
    price: float | None = Field(description="In the shop's currency; null when not known.", examples=[2.55])
    image_url: str | None = Field(examples=[None])
    score: float = Field(description="Higher is better; comparable inside one list only.", examples=[1.37])
    position: int = Field(ge=1, description="From 1.", examples=[1])
    source: str = Field(
        description="What spoke loudest for the item; `popular` for one that fills the list.", examples=["repurchase"]
    )
    sources: dict[str, float] = Field(
        description="Everything that proposed the item, each with its share of that source's best score.",
        examples=[{"repurchase": 1.0, "two_tower": 0.83}],
    )
    propensity: float = Field(
        gt=0,
        le=1,
        description="Probability that this place held this item; 1 unless exploration is on.",
        examples=[1.0],
    )

    @classmethod
    def of(cls, item: RankedItem, bundle: Bundle) -> Self:
        shown = bundle.display(item.item_row)
        return cls(
            product_id=item.item_id,
            name=shown.title,
            category=shown.category,
            price=shown.price,
            image_url=shown.image_url,
            score=item.score,
            position=item.position,
            source=item.source,
            sources=dict(item.sources),
            propensity=item.propensity,
        )


class Context(_Answer):
    """What the list was made for."""

    surface: Literal["homepage", "product", "cart", "bought_together", "rank"] = Field(
        description="The place of the shop it was made for.", examples=["homepage"]
    )
    personalised: bool = Field(
        description="Whether what this user or session did had a part in the order. False for a stranger, who gets the popular list, or what "
        "goes with a product or a cart for anybody.",
        examples=[True],
    )
    product_id: str | None = Field(default=None, description="The item whose page it is.", examples=[None])


class RecommendationList(_Answer):
    """Items, best first."""

    recommendations: tuple[Recommendation, ...] = Field(
        description="At most `limit`; fewer only when fewer items may be shown."
    )
    context: Context
    user_id: str | None = Field(description="As asked.", examples=["17850"])
    request_id: str = Field(
        description="Also in the header `X-Request-Id`; send your own to keep it.", examples=["9f1c6a50b1d94f2a"]
    )
    generated_at: datetime = Field(description="UTC.", examples=["2026-03-02T09:30:00Z"])
    bundle_version: str = Field(
        description="The one release that made the whole answer.", examples=["2026-03-02-0a1b2c3d4e5f"]
    )
    degraded: tuple[str, ...] = Field(
        default=(),
        description="What was left out, by name: `online_state` (what the visitor did lately), `some_candidates`, `ranker`, `candidates` "
        "(all of them: the list is the popular one); empty when all is well.",
        examples=[[]],
    )

    @classmethod
    def of(cls, answer: RankedList, bundle: Bundle, caller: Caller) -> Self:
        request = answer.made_from.request
        return cls(
            request_id=caller.request_id,
            user_id=caller.user_id,
            generated_at=caller.asked_at,
            recommendations=tuple(Recommendation.of(item, bundle) for item in answer.items),
            context=Context(
                surface=request.surface,
                personalised=answer.personalised,
                product_id=request.item_id if isinstance(request, (ProductRequest, BoughtTogetherRequest)) else None,
            ),
            bundle_version=answer.bundle_version,
            degraded=answer.degraded,
        )


class RemovedItem(_Answer):
    """An item the caller named and the rules forbid."""

    product_id: str = Field(examples=["22423"])
    rules: tuple[str, ...] = Field(
        description="out_of_stock, hidden, other_region, excluded, purchased, in_cart, recently_shown; `unknown` for what the catalogue "
        "does not hold.",
        examples=[["out_of_stock"]],
    )


class RankedItems(RecommendationList):
    """The caller's items, best first, and what the rules took out."""

    removed: tuple[RemovedItem, ...] = Field(description="In the order they were named.")

    @classmethod
    def of(cls, answer: RankedList, bundle: Bundle, caller: Caller) -> Self:
        removed = tuple(RemovedItem(product_id=item_id, rules=rules) for item_id, rules in answer.removed.items())
        return cls(**dict(RecommendationList.of(answer, bundle, caller)), removed=removed)


class Alive(_Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class RefusedRelease(_Answer):
    """A release that should be live and is not; the one before it keeps answering."""

    reason: str = Field(examples=["Bundle 2026-03-02-0a1b2c3d4e5f failed its checksum on ranker.txt."])
    refused_at: datetime = Field(description="UTC.", examples=["2026-03-02T04:41:07Z"])

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        return cls(reason=refusal.reason, refused_at=refusal.refused_at)


class MirrorFacts(_Answer):
    """How this machine stands to the store that releases come from."""

    remote: str = Field(examples=["gs://shop/releases"])
    in_step_at: datetime | None = Field(
        description="When the store last said what is live and it was here; when this is old, newer releases are missed."
    )
    trouble: str | None = Field(
        description="Why the last attempt failed; null when it went well.",
        examples=["gs://shop/releases/current.json cannot be read: Timeout of 30.0s exceeded"],
    )

    @classmethod
    def of(cls, state: MirrorState) -> Self:
        return cls(remote=state.remote, in_step_at=state.in_step_at, trouble=state.trouble)


class Ready(_Answer):
    """A bundle answers."""

    status: Literal["ready"] = "ready"
    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    refused: RefusedRelease | None = Field(description="Null when the live release is the one that answers.")
    mirror: MirrorFacts | None = Field(description="Null when releases lie in a folder of this machine.")


class ModelFacts(_Answer):
    """The bundle that answers: where it comes from and what is in it."""

    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    opened_at: datetime = Field(description="When this process began to answer from it, UTC.")
    released_at: datetime | None = Field(description="Null when the version is pinned.")
    previous_version: str | None = Field(description="What a rollback returns to.")
    cut_at: datetime = Field(description="Nothing later than this is in it.")
    data_start_at: datetime = Field(description="The first instant of its data.", examples=["2025-11-02T00:00:00Z"])
    created_at: datetime = Field(description="When it was packed, UTC.", examples=["2026-03-02T04:40:00Z"])
    code_version: str = Field(examples=["0.1.0"])
    num_items: int = Field(description="Of the catalogue, also what is not for sale right now.", examples=[4070])
    num_users: int = Field(description="With a history.", examples=[5878])
    dimension: int = Field(description="Of the towers' vectors.")
    index_kind: str = Field(examples=["scann"])
    index_recall: float = Field(description="Of the index against exact search, as measured when it was built.")

    @classmethod
    def of(cls, release: LiveRelease) -> Self:
        manifest = release.bundle.manifest
        assert manifest is not None  # `open_bundle` always reads one
        facts = manifest.facts.model_dump(exclude={"dagster_run_id"})
        return cls(
            bundle_version=manifest.version,
            opened_at=release.opened_at,
            released_at=release.pointer.released_at if release.pointer else None,
            previous_version=release.pointer.previous if release.pointer else None,
            **facts,
        )


class Detail(_Answer):
    """One thing that was wrong with a request."""

    field: str = Field(description="Where it stood and its name.", examples=["query.limit"])
    expected: str = Field(examples=["Input should be less than or equal to 100"])
    received: str = Field(examples=["'500'"])


class Problem(_Answer):
    """The body of every answer that is not a success."""

    error: str = Field(description="A fixed word to branch on.", examples=["invalid_request"])
    message: str = Field(
        description="What was expected and what was received.",
        examples=["query.limit: Input should be less than or equal to 100. Received: '500'."],
    )
    remedy: str = Field(examples=["Correct the request; /docs describes every parameter."])
    details: tuple[Detail, ...] = Field(default=(), description="For `invalid_request`: every field that was wrong.")
    request_id: str = Field(examples=["9f1c6a50b1d94f2a"])
