"""What one offline evaluation found: a JSON of numbers and, beside it, the values of every user for paired tests. No pickle."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import ContractError
from ml.contract.types import Rows
from ml.evaluation.head_metrics import HeadMetrics
from ml.evaluation.intervals import BootstrapSettings, Interval
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant
from ml.evaluation.slices import CATEGORY, SliceSettings
from ml.evaluation.strangers import Acquaintance
from ml.evaluation.variations import Variation

OURS = "aisle"
"""The system under judgement."""
CHAMPION = "champion"
"""The release that is live, where it was judged too."""
BLEND = "blend"
"""Our own candidates in the order of the un-learned blend: what the ranker must beat. Every further system is a baseline."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EvaluationSettings(_Frozen):
    """What is measured."""

    recall_depths: tuple[int, ...] = Field(default=(5, 10, 50, 100), min_length=1, description="The k of recall@k.")
    top: int = Field(
        default=10, ge=1, le=1000, description="The k of NDCG, MAP, precision, hit rate, novelty and diversity."
    )
    max_users: int = Field(
        default=5_000,
        ge=10,
        description="Users who are judged, evenly taken where more reached a goal: intervals narrow with the root, time grows in step.",
    )
    sampled_users: int = Field(
        default=200,
        ge=1,
        description="Users whose lists are arranged under other settings, and who are shown as strangers, evenly taken.",
    )
    slices: SliceSettings = Field(default_factory=SliceSettings, description="Where the lines between slices run.")
    bootstrap: BootstrapSettings = Field(default_factory=BootstrapSettings, description="How intervals are made.")

    @property
    def depth(self) -> int:
        """How long the lists must be."""
        return max(*self.recall_depths, self.top)

    @property
    def accuracy_metrics(self) -> tuple[str, ...]:
        """What lists are worth by what was bought, in the report's order."""
        recalls = (f"recall@{k}" for k in self.recall_depths)
        shallow = (f"{name}@{self.top}" for name in ("ndcg", "map"))
        return (*recalls, *shallow, f"mrr@{self.depth}", f"hit_rate@{self.top}", f"precision@{self.top}")

    @property
    def primary_metric(self) -> str:
        return f"ndcg@{self.top}"

    @property
    def deep_recall(self) -> str:
        return f"recall@{max(self.recall_depths)}"


class Score(_Frozen):
    """One metric of one system on one slice."""

    system: str
    slice: str
    metric: str
    value: Interval


class Comparison(_Frozen):
    """Ours against one other system, paired by user."""

    baseline: str
    slice: str
    metric: str
    difference: Interval
    ratio: Interval

    @property
    def verdict(self) -> str:
        return verdict_of(self.difference)


def verdict_of(difference: Interval) -> str:
    """`better`, `worse` or `no different`: whether the interval of a difference leaves zero out, and on which side."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "not judged"
    return "better" if low > 0 else "worse" if high < 0 else "no different"


class Coverage(_Frozen):
    """Share of the recommendable items that a system showed to somebody."""

    system: str
    k: int
    share: float | None


class SliceFacts(_Frozen):
    """What a slice holds."""

    name: str
    meaning: str
    num_users: int
    num_pairs: int


class Latency(_Frozen):
    """Duration of one `recommend()` in process, milliseconds."""

    p50_ms: float
    p95_ms: float
    num_requests: int

    @classmethod
    def of(cls, seconds: NDArray[np.floating]) -> Self:
        """Of the duration of each request.

        Raises:
            ContractError: there was no request.
        """
        if not len(seconds):
            raise ContractError("A latency needs at least one request. Received: none. Leave `latency` out instead.")
        p50, p95 = (float(value) for value in np.percentile(seconds * 1000, [50, 95]))
        return cls(p50_ms=p50, p95_ms=p95, num_requests=len(seconds))


class CandidateRecall(_Frozen):
    """How much of what users wanted a source put in front of the ranker: the ceiling of every list."""

    source: str
    recall: float | None
    mean_candidates: float

    @classmethod
    def of(cls, source: str, candidates: Rows, relevant: Relevant) -> Self:
        """Of each user's candidates of one source, in any order, padded with -1 `[num_users, most_candidates]`."""
        hits = Hits.of(candidates, relevant)
        judged = hits.judged
        shares = hits.at.sum(axis=1)[judged] / hits.num_relevant[judged]
        return cls(
            source=source,
            recall=float(shares.mean()) if len(shares) else None,
            mean_candidates=float((candidates >= 0).sum(axis=1).mean()) if len(candidates) else 0.0,
        )


class Summary(_Frozen):
    """Everything of an evaluation that fits on a page."""

    bundle_version: str
    champion_version: str | None = Field(
        default=None, description="The release it was judged against; null when there was none."
    )
    history_from: datetime = Field(description="First event the systems could know, UTC.")
    cut_at: datetime = Field(description="The systems knew what was known before; the test starts here, UTC.")
    test_until: datetime
    num_users: int = Field(description="Users with at least one relevant item in the test window.")
    num_items: int = Field(description="Items a list may hold.")
    num_pairs: int = Field(description="Relevant (user, item) pairs.")
    settings: EvaluationSettings
    slices: tuple[SliceFacts, ...]
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    coverage: tuple[Coverage, ...]
    heads: tuple[HeadMetrics, ...] = ()
    candidates: tuple[CandidateRecall, ...] = ()
    variations: tuple[Variation, ...] = ()
    """The lists of a sample of users under other settings: the diversity curve, and boosts."""
    acquaintances: tuple[Acquaintance, ...] = ()
    """The lists of a sample of users when little is known of them."""
    latency: Latency | None = None

    @property
    def systems(self) -> tuple[str, ...]:
        """In the order given."""
        return tuple(dict.fromkeys(score.system for score in self.scores))

    @property
    def baselines(self) -> tuple[str, ...]:
        return tuple(system for system in self.systems if system not in (OURS, CHAMPION, BLEND))

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], Interval]:
        return {(score.system, score.slice, score.metric): score.value for score in self.scores}

    def value(self, metric: str, *, system: str = OURS, slice_name: str = "all") -> Interval:
        """One metric with its interval.

        Raises:
            ContractError: it was not measured.
        """
        try:
            return self._values[system, slice_name, metric]
        except KeyError:
            known = ", ".join(dict.fromkeys(score.metric for score in self.scores if score.slice == slice_name))
            raise ContractError(
                f"Expected a measured metric of a judged system. Received: {metric!r} of {system!r} on {slice_name!r}. "
                f"Systems: {', '.join(self.systems)}. Metrics of that slice: {known or 'no such slice'}."
            ) from None

    def headline(self) -> dict[str, float]:
        """The numbers to follow from release to release: ours on everybody, and the best baseline's beside them."""
        found: dict[str, float] = {}
        for score in self.scores:
            if (score.system, score.slice) == (OURS, "all") and score.value.mean is not None:
                found[score.metric] = score.value.mean
        for metric in (self.settings.primary_metric, self.settings.deep_recall):
            best = self.best_baseline(metric)
            mean = self.value(metric, system=best).mean if best else None
            if mean is not None:
                found[f"{metric} of {best}"] = mean
        return found

    def diversity_curve(self) -> list[dict[str, float | bool | None]]:
        """What each lambda of the curve costs and brings, the highest first."""
        return [
            {
                "lambda": part.relevance,
                self.settings.primary_metric: part.ndcg.mean,
                "diversity": part.diversity,
                "novelty": part.novelty,
                "coverage": part.coverage,
                "is_own": part.is_own,
            }
            for part in self.variations
            if part.relevance is not None
        ]

    def best_baseline(self, metric: str, *, slice_name: str = "all") -> str | None:
        """The baseline with the highest mean; None where none was judged."""
        means = {name: self.value(metric, system=name, slice_name=slice_name).mean for name in self.baselines}
        judged = {name: mean for name, mean in means.items() if mean is not None}
        return max(judged, key=judged.__getitem__, default=None)

    def comparison(self, metric: str, *, baseline: str, slice_name: str = "all") -> Comparison:
        """Ours against one baseline.

        Raises:
            ContractError: it was not compared.
        """
        for comparison in self.comparisons:
            if (comparison.metric, comparison.baseline, comparison.slice) == (metric, baseline, slice_name):
                return comparison
        compared = ", ".join(dict.fromkeys(comparison.metric for comparison in self.comparisons))
        raise ContractError(
            f"Expected a compared metric ({compared}). Received: {metric!r} against {baseline!r} on {slice_name!r}."
        )

    def flat_metrics(self) -> dict[str, float]:
        """Our measured values under names a metric store takes: `recall_at_10`, `tail_items.ndcg_at_10`, `rating.test.rmse`.

        Without those of categories, whose names are a shop's own words.
        """
        ours = {
            (f"{score.slice}." if score.slice != "all" else "") + score.metric: score.value.mean
            for score in self.scores
            if score.system == OURS and not score.slice.startswith(CATEGORY)
        }
        coverage = {f"coverage@{part.k}": part.share for part in self.coverage if part.system == OURS}
        curve = {
            f"lambda_{part['lambda']:g}.{name}": part[name]
            for part in self.diversity_curve()
            for name in (self.settings.primary_metric, "diversity", "novelty")
        }
        together = {**ours, **coverage, **self.head_metrics(), **curve}
        return {name.replace("@", "_at_"): value for name, value in together.items() if value is not None}

    def head_metrics(self) -> dict[str, float]:
        """Errors of the heads, `value.test.rmse` say, those that are defined."""
        return {
            f"{part.head}.{part.split}.{name}": value
            for part in self.heads
            for name in ("rmse", "mae", "auc", "log_loss")
            if (value := getattr(part, name)) is not None
        }


class Column(NamedTuple):
    """What one column of per-user values holds."""

    system: str
    slice: str
    metric: str


@dataclass(frozen=True)
class PerUserScores:
    """The value of every metric for every judged moment of a user, in the order of the evaluation's lists."""

    columns: tuple[Column, ...]
    values: NDArray[np.float64]
    """`[num_users, num_columns]`, NaN where not judged."""

    @cached_property
    def _places(self) -> dict[Column, int]:
        return {column: place for place, column in enumerate(self.columns)}

    def of(self, metric: str, *, system: str = OURS, slice_name: str = "all") -> PerUser:
        """One column.

        Raises:
            ContractError: it was not measured.
        """
        place = self._places.get(Column(system, slice_name, metric))
        if place is None:
            raise ContractError(f"Expected a measured metric. Received: {metric!r} of {system!r} on {slice_name!r}.")
        return self.values[:, place]

    def together(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Several columns `[num_users, len(columns)]`."""
        return self.values[:, [self._places[column] for column in columns]]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, columns=np.array(self.columns, np.str_), values=self.values.astype(np.float32))

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            columns = tuple(Column(*(str(part) for part in row)) for row in stored["columns"])
            return cls(columns, stored["values"].astype(np.float64))


@dataclass(frozen=True)
class EvaluationReport:
    """The summary and what it was computed from."""

    summary: Summary
    per_user: PerUserScores

    def save(self, folder: Path) -> None:
        """Writes `report.json` and `per_user.npz` (rounded to 32 bits)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(self.summary.model_dump_json(indent=1))
        self.per_user.save(folder / "per_user.npz")

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(
            Summary.model_validate_json((folder / "report.json").read_bytes()),
            PerUserScores.load(folder / "per_user.npz"),
        )
