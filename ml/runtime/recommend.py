"""The one request path: candidates from every source, enriched, ranked, ruled. Called by the service and by the judge."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import ContractError
from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES, Candidates, home_candidates, product_candidates
from ml.runtime.enrich import features_of
from ml.runtime.rank import blended
from ml.runtime.requests import MAX_LIMIT, HomeRequest, ProductRequest, RankedItem, RankedList, Request
from ml.runtime.rules import allowed_items, limited_per_category
from ml.runtime.users import KnownUser


def recommend(bundle: Bundle, request: Request, *, state: History | None = None, now: datetime) -> RankedList:
    """A list for one request.

    Args:
        state: what the user did, newest last; the bundle's own record of them when None.
        now: the instant of the request, with a time zone.

    Raises:
        UnknownItemError: a product page of an item outside the catalogue.
        ContractError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ContractError(f"`now` must carry a time zone. Received: {now.isoformat()}. Use datetime.now(UTC).")
    at = int(now.timestamp())
    if isinstance(request, ProductRequest):
        return _product_list(bundle, request)
    user = bundle.users.of(request.user_id)
    history = user.history if state is None else state
    if not len(history):
        return _popular_list(bundle, request)
    candidates, features = ranking_inputs(bundle, user, history, at=at, exclude=request.exclude)
    allowed = allowed_items(bundle.items, exclude=request.exclude)
    if bundle.ranker is None:
        return _list(bundle, request, candidates, blended(candidates), allowed=allowed, degraded=("ranker",))
    return _list(bundle, request, candidates, bundle.ranker.scores(features), allowed=allowed)


def ranking_inputs(
    bundle: Bundle, user: KnownUser, history: History, *, at: int, exclude: frozenset[str] = frozenset()
) -> tuple[Candidates, Floats]:
    """Candidates of one user and their features: what the ranker sees, in training as in an answer."""
    tower_ids = bundle.tower_user_ids[user.row] if user.row >= 0 else np.zeros_like(bundle.no_user_ids)
    inputs = bundle.encoder.query(tower_ids, history, item_indexes=bundle.tower_item_indexes, at=at)
    query = bundle.towers.query(inputs)[0]
    candidates = home_candidates(
        history,
        query,
        at=at,
        tables=bundle.sources,
        index=bundle.index,
        vectors=bundle.vectors,
        allowed=allowed_items(bundle.items, exclude=exclude),
        settings=bundle.settings.candidates,
    )
    features = features_of(
        candidates,
        history=history,
        user_features=user.features,
        items=bundle.items,
        heads=bundle.towers.rate(query, bundle.vectors[candidates.rows]),
        at=at,
    )
    return candidates, features


def _product_list(bundle: Bundle, request: ProductRequest) -> RankedList:
    item_row = bundle.items.row(request.item_id)
    allowed = allowed_items(bundle.items, exclude=request.exclude | {request.item_id})
    candidates = product_candidates(
        item_row,
        tables=bundle.sources,
        index=bundle.index,
        vectors=bundle.vectors,
        allowed=allowed,
        settings=bundle.settings.candidates,
    )
    return _list(bundle, request, candidates, blended(candidates), allowed=allowed)


def _popular_list(bundle: Bundle, request: HomeRequest) -> RankedList:
    allowed = allowed_items(bundle.items, exclude=request.exclude)
    rows = bundle.sources.popularity.first(MAX_LIMIT, allowed)
    rows = _ruled(bundle, rows, rows)[: request.limit]
    return RankedList(items=_popular_items(bundle, rows, after=0), bundle_version=bundle.version, personalised=False)


def _list(
    bundle: Bundle,
    request: Request,
    candidates: Candidates,
    scores: Floats,
    *,
    allowed: NDArray[np.bool_],
    degraded: tuple[str, ...] = (),
) -> RankedList:
    order = np.lexsort((candidates.rows, -scores)).astype(
        np.int32
    )  # equal scores by row: caches and snapshots rely on a stable order
    order = _ruled(bundle, order, candidates.rows[order])[: request.limit]
    rows, shares = candidates.rows[order], candidates.shares[order]
    items = tuple(
        RankedItem(bundle.items.vocabulary.id(int(row)), int(row), float(score), position, _loudest(heard), heard)
        for position, (row, score, heard) in enumerate(
            zip(rows, scores[order], map(_heard, shares, candidates.proposed[order]), strict=True), start=1
        )
    )
    unseen = allowed.copy()
    unseen[rows] = False
    fillers = bundle.sources.popularity.first(request.limit - len(items), unseen)
    return RankedList(
        items=items + _popular_items(bundle, fillers, after=len(items)),
        bundle_version=bundle.version,
        personalised=isinstance(request, HomeRequest),  # a product page is the same for everybody
        degraded=degraded,
    )


def _ruled(bundle: Bundle, order: Rows, rows: Rows) -> Rows:
    """`order`, with those moved back of whose category there are too many."""
    limit = bundle.settings.rules.max_per_category_in_top_10
    return order[limited_per_category(bundle.items.categories[rows], limit=limit)]


def _heard(shares: Floats, proposed: NDArray[np.bool_]) -> dict[str, float]:
    """The sources that proposed an item, each with its share."""
    return {SOURCES[source]: round(float(shares[source]), 4) for source in np.flatnonzero(proposed)}


def _loudest(heard: dict[str, float]) -> str:
    return max(heard, key=heard.__getitem__)


def _popular_items(bundle: Bundle, rows: Rows, *, after: int) -> tuple[RankedItem, ...]:
    """Popular items to complete a list; scored 0, because nothing personal speaks for them."""
    return tuple(
        RankedItem(bundle.items.vocabulary.id(int(row)), int(row), 0.0, position, "popular", {"popular": 1.0})
        for position, row in enumerate(rows, start=after + 1)
    )
