"""The one request path: candidates from every source, enriched, ranked, ruled. Called by the service and by the judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import ContractError
from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.runtime.allowed import UNKNOWN, Allowed, allowed_items
from ml.runtime.answer import Inputs, RankedItem, RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import (
    SOURCES,
    Candidates,
    CandidateSettings,
    home_candidates,
    related_candidates,
)
from ml.runtime.deadline import CANDIDATES, NOTHING, RANKER, Shedding
from ml.runtime.diversity import Varied, varied
from ml.runtime.enrich import Asking, features_of
from ml.runtime.exploration import Exploration, explored
from ml.runtime.hybrid import HybridSettings, hybrid
from ml.runtime.interest import Interest, decayed_weights
from ml.runtime.order import falling
from ml.runtime.places import Spread, placed
from ml.runtime.rank import blended, together_first
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest, Request
from ml.runtime.rules import boosts
from ml.runtime.sources import NO_ROWS
from ml.runtime.stages import Over, untimed
from ml.runtime.state import OnlineState
from ml.runtime.taste import personal_factors
from ml.runtime.users import KnownUser


def recommend(
    bundle: Bundle,
    request: Request,
    *,
    state: OnlineState | None = None,
    now: datetime,
    seed: int | None = None,
    over: Over = untimed,
    shedding: Shedding = NOTHING,
) -> RankedList:
    """A list for one request. The same arguments give the same list, as long as nothing is shed.

    Args:
        state: what is known of the user or session; the bundle's own record of the user when None.
        now: the instant of the request, with a time zone.
        seed: of exploration, where the bundle's settings have a share for it; without one nothing is left to chance.
        over: is told of each stage when it is over.
        shedding: decides what is left out for want of time; the answer names it in `degraded`.

    Raises:
        UnknownItemError: the page of an item outside the catalogue.
        ContractError: `now` has no time zone, or the state is of another bundle.
    """
    if now.tzinfo is None:
        raise ContractError(f"`now` must carry a time zone. Received: {now.isoformat()}. Use datetime.now(UTC).")
    if state is None:
        state = OnlineState.of_record(bundle, bundle.users.of(request.user_id))
    answer = worked_out(bundle, Inputs(request, state, now, seed), over=over, shedding=shedding).answer()
    over("answer")
    return answer


@dataclass(frozen=True)
class Scored:
    """Candidates with their scores, by ascending row."""

    candidates: Candidates
    scores: Floats
    """`[num_candidates]` of the ranker, or of a blend of the sources' shares."""
    features: Floats | None = None
    """`[num_candidates, len(FEATURES)]` that the ranker saw; None where a blend made the scores."""
    taste: Floats | None = None
    """`[num_candidates]` what relatedness was multiplied with in a list about items; None where nobody is known."""
    personalised: bool = False
    degraded: tuple[str, ...] = ()

    @classmethod
    def nothing(cls, *degraded: str) -> "Scored":
        """Of a stranger without a session, or when there is no time: what is popular fills the list."""
        no_scores = np.empty((0, len(SOURCES)), np.float32)
        return cls(Candidates(NO_ROWS, no_scores, no_scores > 0), np.empty(0, np.float32), degraded=degraded)

    def without_ranker(self, settings: HybridSettings) -> "Scored":
        """What the same request would have had without a ranker; as it is where none scored it."""
        if self.features is None:
            return self
        scores = hybrid(self.candidates, settings)
        return Scored(self.candidates, scores, personalised=self.personalised, degraded=(*self.degraded, RANKER))

    def boosted(self, factors: Floats | None) -> Floats:
        """Scores times factors of at least 1, so that no favour ever lowers one.

        A blend is positive and is multiplied as it is. The ranker's score is a log-odds: exp(score) is the item's strength
        in the pairwise model it was trained with, so the strength is multiplied and log(factor) is added.
        """
        if factors is None:
            return self.scores
        return self.scores * factors if self.features is None else self.scores + np.log(factors)


@dataclass(frozen=True)
class Workings:
    """The steps to one answer: `recommend` hands out the last, an explanation looks into all."""

    bundle: Bundle
    inputs: Inputs
    allowed: Allowed
    scored: Scored
    boosts: Floats | None
    """`[num_candidates]` factors, None when nothing is boosted."""
    scores: Floats
    """`[num_candidates]` with boosts."""
    ranked: Rows
    """Items that may be shown, by score; equal scores by row, since caches and snapshots rely on a stable order."""
    varied: Varied
    """The same items, the first of them by score and likeness."""
    planned: Rows
    """The list without chance."""
    shown: Rows
    """The list."""
    exploration: Exploration

    def answer(self) -> RankedList:
        return RankedList(
            items=tuple(self._items()),
            bundle_version=self.bundle.version,
            personalised=self.scored.personalised,
            made_from=self.inputs,
            degraded=self.scored.degraded,
            removed=self._removed(),
            kept_out={rule: len(rows) for rule, rows in self.allowed.forbidden.items()},
        )

    def candidate(self, row: int) -> int | None:
        """Position of an item among the candidates, None when it is none."""
        rows = self.scored.candidates.rows
        position = int(np.searchsorted(rows, row)) if len(rows) else 0
        return position if position < len(rows) and rows[position] == row else None

    def reasons(self, item_id: str) -> tuple[str, ...]:
        """The rules that keep an item out of the list; empty for an allowed one."""
        row = self.bundle.items.vocabulary.row(item_id)
        return self.allowed.reasons(row) if row >= 0 else (UNKNOWN,)

    def _items(self) -> Iterator[RankedItem]:
        rows, candidates = self.shown, self.scored.candidates
        places = np.minimum(np.searchsorted(candidates.rows, rows), max(len(candidates.rows) - 1, 0))
        is_candidate = candidates.rows[places] == rows if len(candidates.rows) else np.zeros(len(rows), np.bool_)
        found = places[is_candidate]
        said = zip(
            self.scores[found].tolist(),
            candidates.shares[found].tolist(),
            candidates.proposed[found].tolist(),
            strict=True,
        )
        shown = zip(rows.tolist(), self.exploration.propensities, is_candidate.tolist(), strict=True)
        for position, (row, propensity, scored) in enumerate(shown, start=1):
            item_id = self.bundle.items.vocabulary.id(row)
            if not scored:  # a popular item completes the list; scored 0, because nothing else speaks for it
                yield RankedItem(item_id, row, 0.0, position, "popular", {"popular": 1.0}, propensity)
                continue
            score, shares, proposed = next(said)
            heard = {
                source: round(share, 4) for source, share, heard in zip(SOURCES, shares, proposed, strict=True) if heard
            }
            loudest = max(heard, key=heard.__getitem__, default="request")
            yield RankedItem(item_id, row, score, position, loudest, heard, propensity)

    def _removed(self) -> dict[str, tuple[str, ...]]:
        request = self.inputs.request
        if not isinstance(request, RankRequest):
            return {}
        reasons = {item_id: self.reasons(item_id) for item_id in request.item_ids}
        return {item_id: rules for item_id, rules in reasons.items() if rules}


def worked_out(bundle: Bundle, inputs: Inputs, *, over: Over = untimed, shedding: Shedding = NOTHING) -> Workings:
    """Every step to an answer.

    Raises:
        ContractError: the state is of another bundle.
    """
    if inputs.state.bundle_version != bundle.version:
        raise ContractError(
            f"The state must be of bundle {bundle.version}. Received: one of {inputs.state.bundle_version}. "
            "Build it with `state_of` of the bundle that answers."
        )
    allowed = allowed_items(bundle.items, bundle.settings.rules, inputs.request, inputs.state, now=inputs.now)
    over("filters")
    scored = _scored(bundle, inputs, allowed.mask, over, shedding)
    over("ranking")
    workings = arranged(bundle, inputs, allowed, scored)
    over("placement")
    return workings


def arranged(bundle: Bundle, inputs: Inputs, allowed: Allowed, scored: Scored) -> Workings:
    """A list of scored candidates: boosts, likeness, limits, chance, as the bundle's settings say."""
    request, settings = inputs.request, bundle.settings
    factors = boosts(bundle.items, settings.rules, scored.candidates.rows, at=inputs.at, exposure=bundle.exposure)
    scores = scored.boosted(factors)
    listed = allowed.listed
    order = falling(scores)
    order = order[listed[scored.candidates.rows[order]]]
    ranked = scored.candidates.rows[order]
    by_likeness = _varied(bundle, request, ranked, scores[order])
    chance = settings.exploration if inputs.seed is not None and settings.exploration.share else None
    reach = request.limit + (chance.pool if chance else 0)
    rows = placed(bundle, by_likeness.rows, listed, reach=reach, at=inputs.at)
    planned, pool = rows[: request.limit], rows[request.limit :]
    exploration = Exploration((1.0,) * len(planned))
    if chance and inputs.seed is not None:
        fits = Spread.of(bundle.items, settings.rules).may_replace(planned, pool)
        exploration = explored(fits, settings=chance, seed=inputs.seed)
    return Workings(
        bundle=bundle,
        inputs=inputs,
        allowed=allowed,
        scored=scored,
        boosts=factors,
        scores=scores,
        ranked=ranked,
        varied=by_likeness,
        planned=planned,
        shown=exploration.applied(planned, pool),
        exploration=exploration,
    )


def _varied(bundle: Bundle, request: Request, ranked: Rows, scores: Floats) -> Varied:
    """The caller's own list stays in the order of its scores: that order is what was asked for."""
    if isinstance(request, RankRequest):
        return Varied.as_ranked(ranked)
    return varied(ranked, scores, bundle.vectors, settings=bundle.settings.diversity)


def _scored(bundle: Bundle, inputs: Inputs, allowed: NDArray[np.bool_], over: Over, shedding: Shedding) -> Scored:
    match inputs.request:
        case HomeRequest():
            return _personal(bundle, inputs, allowed, NO_ROWS, over, shedding)
        case RankRequest(item_ids=item_ids):
            return _personal(bundle, inputs, allowed, bundle.items.rows_of(item_ids), over, shedding)
        case ProductRequest(item_id=item_id):
            about = np.array([bundle.items.row(item_id)], np.int32)
            return _related(bundle, inputs, about, allowed, over, shedding, score=blended)
        case BoughtTogetherRequest(item_id=item_id):
            about = np.array([bundle.items.row(item_id)], np.int32)
            return _related(bundle, inputs, about, allowed, over, shedding, score=together_first)
        case CartRequest(item_ids=item_ids):
            about = bundle.items.rows_of(item_ids)
            return _related(bundle, inputs, about, allowed, over, shedding, score=blended)


def _personal(
    bundle: Bundle,
    inputs: Inputs,
    allowed: NDArray[np.bool_],
    named: Rows,
    over: Over,
    shedding: Shedding,
) -> Scored:
    """What one user's history says; the ranker has the last word where there is one and time for it."""
    history = inputs.history(bundle.items)
    if not len(history):
        return Scored.nothing()
    omitted = shedding.of_candidates()
    if omitted == CANDIDATES:
        return Scored.nothing(CANDIDATES, RANKER)
    user = bundle.users.of(inputs.request.user_id)
    found = _found(
        bundle, user, history, at=inputs.at, allowed=allowed, named=named, over=over, fewer=omitted is not None
    )
    degraded: tuple[str, ...] = (omitted,) if omitted else ()
    if bundle.ranker is None or shedding.of_ranker(omitted):
        scores = hybrid(found.candidates, bundle.settings.hybrid)
        return Scored(found.candidates, scores, personalised=True, degraded=(*degraded, RANKER))
    features = found.features(bundle, user, history, at=inputs.at)
    over("features")
    return Scored(found.candidates, bundle.ranker.scores(features), features, personalised=True, degraded=degraded)


def _related(
    bundle: Bundle,
    inputs: Inputs,
    item_rows: Rows,
    allowed: NDArray[np.bool_],
    over: Over,
    shedding: Shedding,
    *,
    score: Callable[[Candidates, Floats | None], Floats],
) -> Scored:
    """What goes with some items, and of that rather what is the visitor's own; there is no ranker to leave out."""
    if not len(item_rows):
        return Scored.nothing()
    omitted = shedding.of_candidates()
    if omitted == CANDIDATES:
        return Scored.nothing(CANDIDATES)
    candidates = related_candidates(
        item_rows,
        tables=bundle.sources,
        index=bundle.index,
        vectors=bundle.vectors,
        allowed=allowed,
        settings=_numbers(bundle, fewer=omitted is not None),
    )
    over("candidates")
    taste = _taste(bundle, inputs, candidates.rows)
    return Scored(
        candidates,
        score(candidates, taste),
        taste=taste,
        personalised=taste is not None,
        degraded=(omitted,) if omitted else (),
    )


def _taste(bundle: Bundle, inputs: Inputs, rows: Rows) -> Floats | None:
    history, settings = inputs.history(bundle.items), bundle.settings
    if not len(history) or not settings.taste.own:
        return None
    weights = decayed_weights(history, at=inputs.at, decay_days=settings.candidates.interest_decay_days)
    return personal_factors(rows, Interest.summed(history.item_rows, weights), settings.taste)


def _numbers(bundle: Bundle, *, fewer: bool) -> CandidateSettings:
    settings = bundle.settings.candidates
    return settings.when_late() if fewer else settings


def ranking_inputs(bundle: Bundle, user: KnownUser, history: History, *, at: int) -> tuple[Candidates, Floats]:
    """Candidates of one user and their features: what the ranker sees, in training as in an answer.

    What a rule keeps from this user is no candidate: where nobody buys twice, the ranker would learn little else than that.
    """
    state = OnlineState(bundle.version, history)
    allowed = allowed_items(
        bundle.items, bundle.settings.rules, HomeRequest(), state, now=datetime.fromtimestamp(at, UTC)
    )
    found = _found(bundle, user, history, at=at, allowed=allowed.mask)
    return found.candidates, found.features(bundle, user, history, at=at)


@dataclass(frozen=True)
class _Found:
    """Candidates of one user, before the ranker."""

    candidates: Candidates
    query: Floats
    """`[dimension]` of the query tower."""

    def features(self, bundle: Bundle, user: KnownUser, history: History, *, at: int) -> Floats:
        """`[num_candidates, len(FEATURES)]`"""
        return features_of(
            Asking(
                candidates=self.candidates,
                history=history,
                user_features=user.features,
                facts=bundle.item_facts,
                kinds=bundle.items.kinds,
                heads=bundle.towers.rate(self.query, bundle.vectors, self.candidates.rows),
                at=at,
            )
        )


def _found(
    bundle: Bundle,
    user: KnownUser,
    history: History,
    *,
    at: int,
    allowed: NDArray[np.bool_],
    named: Rows = NO_ROWS,
    over: Over = untimed,
    fewer: bool = False,
) -> _Found:
    """What the sources propose for one user.

    Args:
        allowed: `[num_items]`.
        named: candidates whether a source proposes them or not.
    """
    tower_ids = bundle.tower_user_ids[user.row] if user.row >= 0 else np.zeros_like(bundle.no_user_ids)
    query = bundle.towers.query_of(
        tower_ids, history, encoder=bundle.encoder, item_indexes=bundle.tower_item_indexes, at=at
    )
    over("query")
    candidates = home_candidates(
        history,
        query,
        at=at,
        tables=bundle.sources,
        index=bundle.index,
        vectors=bundle.vectors,
        allowed=allowed,
        settings=_numbers(bundle, fewer=fewer),
        named=named,
    )
    over("candidates")
    return _Found(candidates, query)
