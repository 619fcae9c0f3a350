"""Judges a bundle on days it has not seen: its own request path, its own models, the tables of the day before."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ml.candidates.assemble import bundle_at, catalogue_at, in_catalogue
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.contract.types import Rows
from ml.dataset.examples import RetrievalExamples
from ml.dataset.goals import Goals, goal_event, goals_between
from ml.dataset.split import TimeSplit, Window
from ml.dataset.training_data import TrainingData
from ml.evaluation.baselines import Past, standard_baselines
from ml.evaluation.head_metrics import HeadMetrics, of_numbers, of_probabilities
from ml.evaluation.leakage import foreseen
from ml.evaluation.replay import Replay, replay
from ml.evaluation.report import BLEND, CHAMPION, OURS, EvaluationReport, EvaluationSettings, Latency
from ml.evaluation.scoring import EvaluationContext, evaluate
from ml.evaluation.slices import head_items, new_items
from ml.evaluation.strangers import Acquaintance, acquaintances
from ml.evaluation.variations import Yardstick, variations, variations_of
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.index.planner import IndexSettings, build_index
from ml.runtime.bundle import Bundle
from ml.runtime.items import ItemTable
from ml.runtime.settings import RequestSettings

MAX_RATED = 5_000
"""Encounters of a window the rating head is asked about, the first ones."""

ASKED_AGAIN = 50
"""Users whose lists are made a second time, without the window in the log."""


@dataclass(frozen=True)
class Exam:
    """The held-out window and everything a bundle may know when it starts."""

    data: TrainingData
    split: TimeSplit
    sources: SourceSettings
    index: IndexSettings
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    @property
    def starts_at(self) -> datetime:
        return datetime.fromtimestamp(self.split.test.start, UTC)

    def twin_of(self, bundle: Bundle) -> Bundle:
        """The same models with the tables of the instant the window starts: what would have been live that morning."""
        models = Models(bundle.encoder, bundle.towers, bundle.ranker)
        twin = bundle_at(
            self.data, self.starts_at, models=models, settings=bundle.settings, source_settings=self.sources
        )
        queries = models.user_vectors(twin.users, twin.items, at=self.split.test.start, at_most=self.index.max_queries)
        kind = self.index.model_copy(update={"kind": bundle.index.kind})
        return replace(twin, version=bundle.version, index=build_index(twin.vectors, queries, settings=kind).index)

    def goals(self, items: ItemTable) -> Goals:
        """What users went on to buy of a catalogue in the window, at most `settings.max_users` of them."""
        log = in_catalogue(self.data, items)
        window = self.split.test
        reached = goals_between(log, window.start, window.end, event_type=goal_event(self.data.log))
        return reached.at_most(self.settings.max_users)


def judge_offline(bundle: Bundle, exam: Exam, *, rivals: Mapping[str, Bundle] | None = None) -> EvaluationReport:
    """Replays `bundle` and its rivals (a champion, say) over the held-out window, beside the standard baselines."""
    twin = exam.twin_of(bundle)
    goals = exam.goals(twin.items)
    otherwise = {name: settings for name, (_, settings) in variations_of(twin.settings).items()}
    ours = _replayed(twin, goals, exam, otherwise=otherwise)
    past = Past.at(
        exam.split.test.start,
        in_catalogue(exam.data, twin.items),
        user_rows=goals.user_rows,
        recommendable=twin.items.available,
    )
    systems = {OURS: ours.recommended, BLEND: ours.unranked, **standard_baselines(past, k=exam.settings.depth)}
    for name, rival in (rivals or {}).items():
        systems[name] = _replayed(exam.twin_of(rival), goals, exam).recommended
    champion = (rivals or {}).get(CHAMPION)
    context = EvaluationContext(
        bundle_version=bundle.version,
        champion_version=champion.version if champion else None,
        past=past,
        item_categories=twin.items.categories,
        category_names=twin.items.category_names,
        test_until=datetime.fromtimestamp(exam.split.test.end, UTC),
        heads=judge_heads(twin, exam),
        candidates=ours.candidates,
        variations=variations(ours.otherwise, twin.settings, yardstick_of(twin, past, ours, exam.settings)),
        acquaintances=_acquaintances(twin, goals, ours, exam),
        latency=Latency.of(ours.seconds) if len(goals) else None,
    )
    return evaluate(systems, ours.relevant, context, exam.settings)


def lists_that_look_ahead(bundle: Bundle, exam: Exam, *, at_most: int = ASKED_AGAIN) -> NDArray[np.bool_]:
    """Of some users of the window, whose list changes when the tables are made of a log without the window `[num_users]`."""
    start = exam.split.test.start

    def lists_of(log: InteractionLog) -> Rows:
        # Not `as_of`: it would move T, and with it what the catalogue says of stock. Only the events may differ.
        events = exam.data.events if log is exam.data.log else exam.data.events.known_before(exam.starts_at)
        asked = replace(exam, data=replace(exam.data, events=events))
        return _replayed(asked.twin_of(bundle), goals, asked).recommended

    goals = exam.goals(catalogue_at(exam.data, exam.starts_at)).at_most(at_most)
    return foreseen(lists_of, exam.data.log, cut=start)


def judge_heads(twin: Bundle, exam: Exam) -> tuple[HeadMetrics, ...]:
    """The rating head on encounters of the validation days and of the test days; its towers learned from neither."""
    if not twin.towers.has_head:
        return ()
    windows = (("validation", exam.split.validation), ("test", exam.split.test))
    return tuple(metrics for name, window in windows for metrics in _judged_heads(twin, exam.data, window, name=name))


def _judged_heads(twin: Bundle, data: TrainingData, window: Window, *, name: str) -> tuple[HeadMetrics, ...]:
    """On the first encounters of a window, each seen from just before it happened."""
    met = RetrievalExamples.of(
        data.log, encoder=twin.encoder, users=data.users_by_row, items=data.items_by_row, window=window
    )
    rated = range(min(len(met), MAX_RATED))
    queries = twin.towers.query(met.queries)
    vectors = twin.towers.candidates(met.candidates)[met.item_rows]
    answers = [twin.towers.rate(queries[i], vectors[i : i + 1]) for i in rated]
    if not answers:
        return ()
    value, conversion = (np.concatenate([getattr(a, part) for a in answers]) for part in ("value", "conversion"))
    target, bought = met.target[: len(rated)], met.is_purchase[: len(rated)]
    known = np.isfinite(target)
    return (
        of_numbers("value", name, value[known], target[known]),
        of_probabilities("conversion", name, conversion, bought),
    )


def yardstick_of(twin: Bundle, past: Past, ours: Replay, settings: EvaluationSettings) -> Yardstick:
    """What the lists of a replay's sample are measured by."""
    slices = settings.slices
    youngest = past.cut - slices.new_item_days * SECONDS_PER_DAY
    return Yardstick(
        relevant=ours.relevant.of_users(ours.sampled),
        recommendable=past.recommendable,
        times_bought=past.times_bought,
        vectors=twin.vectors,
        tail=~head_items(past, share=slices.head_share),
        new=new_items(past, days=slices.new_item_days),
        of_new_sellers=twin.items.seller_born >= youngest if (twin.items.sellers >= 0).any() else None,
        k=settings.top,
        bootstrap=settings.bootstrap,
    )


def _acquaintances(twin: Bundle, goals: Goals, ours: Replay, exam: Exam) -> tuple[Acquaintance, ...]:
    settings = exam.settings
    return acquaintances(
        twin,
        goals,
        user_ids=exam.data.user_ids,
        now=exam.starts_at,
        known=ours.recommended,
        sample=settings.sampled_users,
        top=settings.top,
        depth=settings.depth,
        bootstrap=settings.bootstrap,
    )


def _replayed(
    twin: Bundle, goals: Goals, exam: Exam, *, otherwise: Mapping[str, RequestSettings] | None = None
) -> Replay:
    return replay(
        twin,
        goals,
        user_ids=exam.data.user_ids,
        now=exam.starts_at,
        k=exam.settings.depth,
        otherwise=otherwise,
        sample=exam.settings.sampled_users,
    )
