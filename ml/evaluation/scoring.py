"""From ranked lists of several systems to one report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.types import Rows
from ml.evaluation.baselines import Past
from ml.evaluation.beyond_accuracy import catalogue_coverage_at_k, category_diversity_at_k, novelty_at_k
from ml.evaluation.head_metrics import HeadMetrics
from ml.evaluation.intervals import mean_intervals, paired_intervals
from ml.evaluation.ranking_metrics import (
    Hits,
    PerUser,
    Relevant,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)
from ml.evaluation.report import (
    OURS,
    CandidateRecall,
    Column,
    Comparison,
    Coverage,
    EvaluationReport,
    EvaluationSettings,
    Latency,
    PerUserScores,
    Score,
    SliceFacts,
    Summary,
)
from ml.evaluation.slices import Slice, category_slices, standard_slices
from ml.evaluation.strangers import Acquaintance
from ml.evaluation.variations import Variation

METRICS = {
    "recall": recall_at_k,
    "ndcg": ndcg_at_k,
    "map": average_precision_at_k,
    "mrr": reciprocal_rank_at_k,
    "hit_rate": hit_rate_at_k,
    "precision": precision_at_k,
}


@dataclass(frozen=True)
class EvaluationContext:
    """What lists are judged against, and what else was measured on the way."""

    bundle_version: str
    past: Past
    """Its `user_rows` are the users of the lists, in their order."""
    item_categories: Rows
    """`[num_items]`, -1 unknown."""
    category_names: tuple[str, ...]
    test_until: datetime
    champion_version: str | None = None
    """The release among the systems."""
    heads: tuple[HeadMetrics, ...] = ()
    candidates: tuple[CandidateRecall, ...] = ()
    variations: tuple[Variation, ...] = ()
    acquaintances: tuple[Acquaintance, ...] = ()
    latency: Latency | None = None


def evaluate(
    systems: Mapping[str, Rows],
    relevant: Relevant,
    context: EvaluationContext,
    settings: EvaluationSettings | None = None,
) -> EvaluationReport:
    """Every metric of every system on every slice, with intervals, and ours against each baseline.

    Args:
        systems: lists `[num_users, settings.depth]` by name, padded with -1; `aisle` is the one under judgement.

    Raises:
        ContractError: `aisle` is missing, or lists are too short, hold an item twice or are of other users.
    """
    settings = settings or EvaluationSettings()
    if OURS not in systems:
        raise ContractError(f"`systems` must hold {OURS!r}. Received: {', '.join(systems) or 'nothing'}.")
    slices = (
        *standard_slices(relevant, context.past, settings.slices),
        *category_slices(relevant, context.item_categories, context.category_names, settings.slices),
    )
    per_user = _per_user_scores(systems, relevant, slices, context, settings)
    return EvaluationReport(
        Summary(
            bundle_version=context.bundle_version,
            champion_version=context.champion_version,
            history_from=_instant(int(context.past.log.occurred_at.min(initial=context.past.cut))),
            cut_at=_instant(context.past.cut),
            test_until=context.test_until,
            num_users=int((relevant.counts > 0).sum()),
            num_items=int(context.past.recommendable.sum()),
            num_pairs=len(relevant.item_rows),
            settings=settings,
            slices=tuple(_facts(part, relevant) for part in slices),
            scores=_scores(per_user, settings),
            comparisons=_comparisons(per_user, tuple(systems), slices, settings),
            coverage=tuple(
                Coverage(system=name, k=k, share=catalogue_coverage_at_k(lists, context.past.recommendable, k=k))
                for name, lists in systems.items()
                for k in (settings.top, settings.depth)
            ),
            heads=context.heads,
            candidates=context.candidates,
            variations=context.variations,
            acquaintances=context.acquaintances,
            latency=context.latency,
        ),
        per_user,
    )


def _per_user_scores(
    systems: Mapping[str, Rows],
    relevant: Relevant,
    slices: tuple[Slice, ...],
    context: EvaluationContext,
    settings: EvaluationSettings,
) -> PerUserScores:
    found: dict[Column, PerUser] = {}
    for system, lists in systems.items():
        for part in slices:
            hits = Hits.of(lists, part.of(relevant))
            found |= {Column(system, part.name, name): values for name, values in accuracy(hits, settings).items()}
        judged = relevant.counts > 0
        for name, values in _beyond_accuracy(lists, context, settings):
            found[Column(system, "all", name)] = np.where(judged, values, np.nan)
    return PerUserScores(tuple(found), np.stack(list(found.values()), axis=1))


def accuracy(hits: Hits, settings: EvaluationSettings) -> dict[str, PerUser]:
    """Each of `settings.accuracy_metrics`."""
    return {name: measured(hits, name) for name in settings.accuracy_metrics}


def measured(hits: Hits, metric: str) -> PerUser:
    """A metric by its name, `ndcg@10` say."""
    name, _, k = metric.partition("@")
    return METRICS[name](hits, k=int(k))


def _beyond_accuracy(
    lists: Rows, context: EvaluationContext, settings: EvaluationSettings
) -> Iterator[tuple[str, PerUser]]:
    k = settings.top
    yield f"novelty@{k}", novelty_at_k(lists, context.past.times_bought, k=k)
    yield f"diversity@{k}", category_diversity_at_k(lists, context.item_categories, k=k)


def _scores(per_user: PerUserScores, settings: EvaluationSettings) -> tuple[Score, ...]:
    intervals = mean_intervals(per_user.values, settings.bootstrap)
    return tuple(
        Score(**column._asdict(), value=interval) for column, interval in zip(per_user.columns, intervals, strict=True)
    )


def _comparisons(
    per_user: PerUserScores, systems: tuple[str, ...], slices: tuple[Slice, ...], settings: EvaluationSettings
) -> tuple[Comparison, ...]:
    theirs = [
        Column(system, part.name, metric)
        for system in systems
        if system != OURS
        for part in slices
        for metric in (settings.primary_metric, settings.deep_recall)
    ]
    if not theirs:
        return ()
    ours = [column._replace(system=OURS) for column in theirs]
    pairs = paired_intervals(per_user.together(ours), per_user.together(theirs), settings.bootstrap)
    return tuple(
        Comparison(baseline=c.system, slice=c.slice, metric=c.metric, difference=pair.difference, ratio=pair.ratio)
        for c, pair in zip(theirs, pairs, strict=True)
    )


def _facts(part: Slice, relevant: Relevant) -> SliceFacts:
    inside = part.of(relevant)
    return SliceFacts(
        name=part.name,
        meaning=part.meaning,
        num_users=int((inside.counts > 0).sum()),
        num_pairs=len(inside.item_rows),
    )


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
