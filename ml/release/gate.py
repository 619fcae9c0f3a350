"""Whether a challenger may replace the champion: paired statistics over the same users, overall and per slice."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import ContractError
from ml.evaluation.intervals import BootstrapSettings, Interval, PairedInterval, paired_interval
from ml.evaluation.ranking_metrics import PerUser
from ml.evaluation.report import OURS, EvaluationReport

CHAMPION = "champion"
POPULARITY = "popular_7d"
"""Systems of an evaluation report that the gate compares with."""

OVERALL = "all"
"""Name of the slice that holds every user and every outcome."""


class GateSettings(BaseModel):
    """What a challenger must show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field(default="ndcg@10", description="The metric that decides; the caller computes it.")
    min_gain: float = Field(
        default=0.01, ge=0, le=1, description="Least gain over the champion, as a share of the champion's mean."
    )
    slice_tolerance: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the champion's mean a slice may lose; more, and surely, refuses.",
    )
    min_slice_users: int = Field(
        default=50, ge=1, description="A slice with fewer judged users is reported, but cannot refuse."
    )
    bootstrap: BootstrapSettings = BootstrapSettings()


@dataclass(frozen=True)
class PerUserMetrics:
    """The deciding metric of one system, user by user, on the held-out days."""

    user_ids: tuple[str, ...]
    by_slice: Mapping[str, PerUser]
    """Values `[num_users]` by slice name, NaN where a user was not judged; `all` must be there."""


class Comparison(BaseModel):
    """The challenger against one opponent on one slice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    opponent: str = Field(description="champion or popularity")
    slice: str
    gain: Interval = Field(description="Mean of the challenger minus mean of the opponent.")
    ratio: Interval = Field(description="Challenger's mean over the opponent's.")
    refuses: str | None = Field(default=None, description="Why this comparison alone forbids the promotion.")


class Verdict(BaseModel):
    """The decision and all it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    promote: bool
    metric: str
    reasons: tuple[str, ...] = Field(description="Sentences: why not, or what was won.")
    comparisons: tuple[Comparison, ...]

    def against(self, opponent: str, slice_name: str = OVERALL) -> Comparison | None:
        """One comparison; None when there was no such opponent or slice."""
        found = (each for each in self.comparisons if (each.opponent, each.slice) == (opponent, slice_name))
        return next(found, None)

    def gains(self) -> dict[str, float]:
        """Mean and lower bound of the gain over each opponent, and the bound it must pass."""
        found: dict[str, float] = {"threshold": 0.0}
        for each in self.comparisons:
            if each.slice == OVERALL and each.gain.mean is not None and each.gain.low is not None:
                found |= {f"gain_over_{each.opponent}": each.gain.mean, f"gain_over_{each.opponent}_low": each.gain.low}
        return found

    def as_markdown(self) -> str:
        """One line per comparison."""
        rows = [_row(each) for each in self.comparisons]
        return "\n".join(
            [f"| against | slice | gain in {self.metric} | ratio | users | |", "|---|---|---|---|---|---|", *rows]
        )


def judge(
    challenger: PerUserMetrics,
    *,
    champion: PerUserMetrics | None,
    popularity: PerUserMetrics,
    settings: GateSettings | None = None,
) -> Verdict:
    """Promote only what is surely better.

    Against the popular list: the lower bound of the mean gain over paired users is above 0; whoever is champion, a model that
    learned nothing must not pass. Against the champion, when there is one: that, and a mean gain of at least `min_gain`, and no
    slice that surely loses more than `slice_tolerance`.

    Raises:
        ContractError: the systems were not judged on the same users and slices.
    """
    settings = settings or GateSettings()
    comparisons = [_against(challenger, popularity, OVERALL, "popularity", settings)]
    if champion is not None:
        comparisons += [_against(challenger, champion, name, "champion", settings) for name in challenger.by_slice]
    refusals = tuple(each.refuses for each in comparisons if each.refuses)
    return Verdict(
        promote=not refusals,
        metric=settings.metric,
        reasons=refusals or tuple(_won(each, settings.metric) for each in comparisons if each.slice == OVERALL),
        comparisons=tuple(comparisons),
    )


def judge_report(report: EvaluationReport, *, settings: GateSettings | None = None) -> Verdict:
    """The verdict on the system an evaluation calls ours; its champion, when one was replayed, is a system of that name."""
    settings = settings or GateSettings()

    def of(system: str) -> PerUserMetrics:
        values = {
            part.name: report.per_user.of(settings.metric, system=system, slice_name=part.name)
            for part in report.summary.slices
        }
        return PerUserMetrics(tuple(map(str, range(len(values[OVERALL])))), values)

    champion = of(CHAMPION) if CHAMPION in report.summary.systems else None
    return judge(of(OURS), champion=champion, popularity=of(POPULARITY), settings=settings)


def _against(
    challenger: PerUserMetrics, opponent: PerUserMetrics, name: str, who: str, settings: GateSettings
) -> Comparison:
    if challenger.user_ids != opponent.user_ids or name not in opponent.by_slice:
        raise ContractError(
            f"The gate compares the same users on the same slices. Received: {who} with {len(opponent.user_ids)} users and "
            f"slices {', '.join(opponent.by_slice)}; challenger with {len(challenger.user_ids)} users, slice {name}. "
            "Replay both over the same held-out days."
        )
    pair = paired_interval(challenger.by_slice[name], opponent.by_slice[name], settings.bootstrap)
    refuses = _overall_refusal(pair, who, settings) if name == OVERALL else _slice_refusal(pair, name, settings)
    return Comparison(opponent=who, slice=name, gain=pair.difference, ratio=pair.ratio, refuses=refuses)


def _overall_refusal(pair: PairedInterval, who: str, settings: GateSettings) -> str | None:
    gain, ratio = pair
    if gain.mean is None or gain.low is None:
        return f"Nobody was judged, so nothing is known against {who}."
    if gain.low <= 0:
        return f"{settings.metric} is not surely above {who}: gain {_shown(gain)}, its lower bound must be above 0."
    # Without a ratio the opponent's mean can be 0: any sure gain is enough.
    if who == "champion" and ratio.mean is not None and ratio.mean - 1 < settings.min_gain:
        return f"{settings.metric} gains {ratio.mean - 1:.2%} over the champion; at least {settings.min_gain:.2%} is asked for."
    return None


def _slice_refusal(pair: PairedInterval, name: str, settings: GateSettings) -> str | None:
    gain, ratio = pair
    if gain.num_users < settings.min_slice_users or gain.high is None or gain.high >= 0:
        return None
    lost = 1.0 if ratio.mean is None else 1 - ratio.mean
    if lost <= settings.slice_tolerance:
        return None
    return f"{name} loses {lost:.1%} against the champion ({_shown(gain)}); at most {settings.slice_tolerance:.1%} is allowed."


def _won(comparison: Comparison, metric: str) -> str:
    return f"{metric} is surely above {comparison.opponent}: gain {_shown(comparison.gain)}."


def _row(comparison: Comparison) -> str:
    ratio = "" if comparison.ratio.mean is None else f"{comparison.ratio.mean:.3f}"
    refuses = "refuses" if comparison.refuses else ""
    users = comparison.gain.num_users
    return f"| {comparison.opponent} | {comparison.slice} | {_shown(comparison.gain)} | {ratio} | {users} | {refuses} |"


def _shown(gain: Interval) -> str:
    if gain.mean is None:
        return "unknown"
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
