"""Words for a reader: the same on the page, in its Markdown twin and in the plots."""

from ml.evaluation.intervals import Interval
from ml.evaluation.report import BLEND, CHAMPION, OURS, Comparison, Summary
from ml.evaluation.strangers import Acquaintance

SYSTEMS = {
    OURS: "Aisle",
    CHAMPION: "Live release",
    BLEND: "Un-learned blend of the same candidates",
    "own_history": "Own purchases again",
    "item_knn": "Item-kNN",
    "item_knn_new": "Item-kNN, nothing bought before",
    "popular_7d": "Popular lately",
    "popular": "Popular of all time",
}
SLICES = {
    "all": "Everything",
    "new_to_user": "New to the user",
    "bought_before": "Bought before",
    "new_users": "New users",
    "light_users": "Light users",
    "heavy_users": "Heavy users",
    "tail_items": "Tail items",
    "new_items": "New items",
}
_METRICS = {"ndcg": "NDCG", "map": "MAP", "mrr": "MRR", "hit_rate": "Hit rate"}
_HEAD_METRICS = {"rmse": "RMSE", "mae": "MAE", "auc": "AUC", "log_loss": "log loss"}
UNDEFINED = "–"


def system_label(name: str) -> str:
    return SYSTEMS.get(name, name)


def slice_label(name: str) -> str:
    return SLICES.get(name, name)


def metric_label(name: str) -> str:
    """`ndcg@10` -> `NDCG@10`."""
    kind, _, k = name.partition("@")
    return f"{_METRICS.get(kind, kind.capitalize())}@{k}"


def head_label(name: str) -> str:
    """`value.test.rmse` -> `Head “value”, test days: RMSE`."""
    head, days, metric = name.split(".")
    return f"Head “{head}”, {days} days: {_HEAD_METRICS[metric]}"


def known(part: Acquaintance) -> str:
    """How much is known of who asks."""
    if part.num_events is None:
        return "who they are, and all they did"
    if not part.num_events:
        return "nothing"
    return "their last event" if part.num_events == 1 else f"their last {part.num_events} events"


def number(value: float | None, digits: int = 3) -> str:
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def with_interval(value: Interval) -> str:
    """`0.369 [0.351, 0.387]`."""
    if value.mean is None:
        return UNDEFINED
    return f"{number(value.mean)} [{number(value.low)}, {number(value.high)}]"


def headline(summary: Summary) -> str:
    """The finding in one sentence, as strong as the interval allows and not stronger."""
    metric = summary.settings.primary_metric
    best = summary.best_baseline(metric)
    ours = summary.value(metric)
    if ours.mean is None:
        return "Nobody bought anything in the test window: nothing was judged."
    if best is None:
        return f"{metric_label(metric)} of {number(ours.mean)}; no baseline was judged."
    rival = f"the best baseline, “{system_label(best).lower()}”"
    return _against(rival, summary.comparison(metric, baseline=best), summary)


def against_champion(summary: Summary) -> str | None:
    """The same sentence against the release that is live; None where it was not judged."""
    if CHAMPION not in summary.systems or summary.value(summary.settings.primary_metric).mean is None:
        return None
    comparison = summary.comparison(summary.settings.primary_metric, baseline=CHAMPION)
    return _against("the release that is live", comparison, summary)


def _against(rival: str, comparison: Comparison, summary: Summary) -> str:
    ours, theirs = (summary.value(comparison.metric, system=name).mean for name in (OURS, comparison.baseline))
    values = f"{metric_label(comparison.metric)} {number(ours)} against {number(theirs)}"
    ratio, difference = comparison.ratio, comparison.difference
    if comparison.verdict == "no different":
        between = f"difference between {number(difference.low)} and {number(difference.high)}"
        return f"Aisle cannot be told apart from {rival}: {values}, {between}."
    if ratio.mean is None:
        between = f"difference between {number(difference.low)} and {number(difference.high)}"
        return f"Aisle ranks {comparison.verdict} than {rival}: {values}, {between}."
    between = f"ratio between {number(ratio.low)} and {number(ratio.high)}"
    return f"Aisle ranks {abs(ratio.mean - 1):.1%} {comparison.verdict} than {rival}: {values}, {between}."
