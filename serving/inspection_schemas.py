"""What goes over the wire to whoever looks into the service: the console."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ml.contract.events import EventType
from ml.contract.manifest import Manifest
from ml.features.pseudonym import MARK
from ml.runtime.bundle import Bundle
from serving.feedback.recent import RecentVisitor

_MARKED = "pseudonym:9f86d081884c7d659a2feaa0c55ad015"


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class Visitor(_Said):
    """Somebody, by the only name the service has of them; send it back as `user_id` or `session_id`, with an admin key."""

    user_id: str | None = Field(description="`pseudonym:` and the pseudonym; null for a session.", examples=[_MARKED])
    session_id: str | None = Field(description="The same of a session of nobody known.", examples=[None])
    events: int = Field(
        description="Of a recent visitor among the newest of the log, else in the release.", examples=[43]
    )
    last_event_at: datetime | None = Field(description="UTC.", examples=["2026-03-02T09:30:00Z"])
    favourite_category: str | None = Field(
        description="Of most events the release holds of them.", examples=["Lighting"]
    )


class Visitors(_Said):
    """People to pick from."""

    recent: tuple[Visitor, ...] = Field(description="Whoever did something last, the latest first.")
    known: tuple[Visitor, ...] = Field(
        description="A sample of the users the release knows, those with most events first."
    )

    @classmethod
    def of(cls, recent: Sequence[RecentVisitor], bundle: Bundle, *, limit: int) -> Self:
        return cls(
            recent=tuple(_recent(visitor, bundle) for visitor in recent),
            known=tuple(sorted(_sample(bundle, limit), key=lambda visitor: -visitor.events)),
        )


class CatalogueItem(_Said):
    """An item as a shop shows it."""

    product_id: str = Field(examples=["85123A"])
    name: str | None = Field(examples=["White hanging heart t-light holder"])
    category: str | None = Field(examples=["Lighting"])
    price: float | None = Field(examples=[2.55])
    image_url: str | None = Field(examples=[None])
    available: bool = Field(description="Active and not out of stock.", examples=[True])

    @classmethod
    def at(cls, row: int, bundle: Bundle) -> Self:
        shown = bundle.display(row)
        return cls(
            product_id=shown.item_id,
            name=shown.title,
            category=shown.category,
            price=shown.price,
            image_url=shown.image_url,
            available=bool(bundle.items.available[row]),
        )


class FoundItems(_Said):
    """Items of the release that answers, the most popular first."""

    items: tuple[CatalogueItem, ...] = Field(description="Those the search fits, no more than asked for.")


class PastEvent(_Said):
    """Something somebody did."""

    item: CatalogueItem
    event_type: EventType = Field(examples=["cart_add"])
    occurred_at: datetime = Field(description="UTC.", examples=["2026-03-02T09:30:00Z"])
    is_live: bool = Field(description="Newer than the release, so it came from the log.", examples=[True])


class PastEvents(_Said):
    """What a list of somebody is made from."""

    events: tuple[PastEvent, ...] = Field(description="Newest first.")
    total: int = Field(description="All that is known, the events left out here included.", examples=[43])
    live: int = Field(description="Those of them that are newer than the release.", examples=[2])
    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    degraded: tuple[str, ...] = Field(description="`online_state` when newer events may be missing.", examples=[[]])


class KeptRelease(_Said):
    """A release this machine holds."""

    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    is_live: bool = Field(description="Whether it answers now.", examples=[True])
    cut_at: datetime | None = Field(description="Nothing later is in it.", examples=["2026-03-02T00:00:00Z"])
    recipe: str | None = Field(examples=["default"])
    size_bytes: int | None = Field(
        description="On disk. While a second release is open it takes about as much memory.", examples=[31457280]
    )
    problem: str | None = Field(
        description="Why it cannot be opened; null when its manifest is whole.", examples=[None]
    )

    @classmethod
    def of(cls, manifest: Manifest, *, live: str) -> Self:
        return cls(
            bundle_version=manifest.version,
            is_live=manifest.version == live,
            cut_at=manifest.facts.cut_at,
            recipe=manifest.facts.recipe,
            size_bytes=sum(entry.size for entry in manifest.files.values()),
            problem=None,
        )

    @classmethod
    def damaged(cls, version: str, problem: str) -> Self:
        return cls(bundle_version=version, is_live=False, cut_at=None, recipe=None, size_bytes=None, problem=problem)


class KeptReleases(_Said):
    """Every release this machine holds, the newest data first."""

    releases: tuple[KeptRelease, ...] = Field(description="The newest data first.")


def _recent(visitor: RecentVisitor, bundle: Bundle) -> Visitor:
    return Visitor(
        user_id=_marked(visitor.user),
        session_id=_marked(visitor.session),
        events=visitor.events,
        last_event_at=visitor.last_event_at,
        favourite_category=_favourite(bundle, visitor.user),
    )


def _sample(bundle: Bundle, limit: int) -> list[Visitor]:
    """Users at even distances: ids are hashes, so this is a fair sample, and it costs the same however many there are."""
    number = len(bundle.users)
    rows = sorted({place * number // limit for place in range(limit)}) if number else []
    return [_known(bundle, bundle.users.vocabulary.id(row)) for row in rows]


def _known(bundle: Bundle, user: str) -> Visitor:
    return Visitor(
        user_id=_marked(user),
        session_id=None,
        events=len(bundle.users.of(user).history),
        last_event_at=None,
        favourite_category=_favourite(bundle, user),
    )


def _favourite(bundle: Bundle, user: str | None) -> str | None:
    rows = bundle.users.of(user).history.item_rows
    if not len(rows):
        return None
    categories = [category for category in bundle.items.table["category"].take(rows).to_pylist() if category]
    return max(sorted(set(categories)), key=categories.count, default=None)


def _marked(name: str | None) -> str | None:
    return None if name is None else MARK + name
