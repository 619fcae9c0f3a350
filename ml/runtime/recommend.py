"""The one request path: candidates from every source, enriched, ranked, ruled. Called by the service and by the judge."""

from datetime import datetime

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES, Candidates, home_candidates, product_candidates
from ml.runtime.enrich import features_of
from ml.runtime.rank import blended
from ml.runtime.requests import HomeRequest, ProductRequest, RankedItem, RankedList, Request
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
    scores = bundle.ranker.scores(features)
    return _list(bundle, request, candidates, scores, allowed=allowed_items(bundle.items, exclude=request.exclude))


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
    rows = bundle.sources.popularity.first(request.limit * 4, allowed)
    ordered = limited_per_category(rows, bundle.items.categories, limit=bundle.settings.rules.max_per_category_in_top_10)
    return RankedList(
        items=_fillers(bundle, ordered[: request.limit], after=0), bundle_version=bundle.version, personalised=False
    )


def _list(
    bundle: Bundle, request: Request, candidates: Candidates, scores: Floats, *, allowed: np.ndarray
) -> RankedList:
    order = np.lexsort((candidates.rows, -scores))  # equal scores by row: caches and snapshots rely on a stable order
    position_of = {int(candidates.rows[i]): int(i) for i in order}
    ranked = limited_per_category(
        candidates.rows[order], bundle.items.categories, limit=bundle.settings.rules.max_per_category_in_top_10
    )[: request.limit]
    shares = candidates.shares
    items = tuple(
        _ranked_item(bundle, int(row), position, candidates, shares, float(scores[position_of[int(row)]]), position_of)
        for position, row in enumerate(ranked, start=1)
    )
    missing = request.limit - len(items)
    if missing:
        unseen = allowed.copy()
        unseen[ranked] = False
        items += _fillers(bundle, bundle.sources.popularity.first(missing, unseen), after=len(items))
    return RankedList(items=items, bundle_version=bundle.version, personalised=True)


def _ranked_item(
    bundle: Bundle,
    row: int,
    position: int,
    candidates: Candidates,
    shares: Floats,
    score: float,
    position_of: dict[int, int],
) -> RankedItem:
    at = position_of[row]
    proposed = {
        source: round(float(share), 4)
        for source, share, by in zip(SOURCES, shares[at], candidates.proposed[at], strict=True)
        if by
    }
    return RankedItem(
        bundle.items.vocabulary.id(row), row, score, position, max(proposed, key=proposed.__getitem__), proposed
    )


def _fillers(bundle: Bundle, rows: Rows, *, after: int) -> tuple[RankedItem, ...]:
    """Popular items to complete a list; scored 0, because nothing personal speaks for them."""
    return tuple(
        RankedItem(bundle.items.vocabulary.id(int(row)), int(row), 0.0, position, "popular", {"popular": 1.0})
        for position, row in enumerate(rows, start=after + 1)
    )
