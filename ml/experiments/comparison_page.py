"""A comparison as one page that needs nothing else, and its Markdown twin."""

from pathlib import Path

from ml.evaluation import plots
from ml.evaluation.intervals import Interval
from ml.evaluation.labels import metric_label, number, with_interval
from ml.evaluation.page import data_uri, environment_of
from ml.evaluation.report import EvaluationSettings
from ml.experiments.compare import Comparison, Row

_TEMPLATES = Path(__file__).with_name("templates")


def html_page(comparison: Comparison) -> str:
    """Table and pictures; no script, no request to anywhere."""
    pictures = [bars(comparison), *([ratios(comparison)] if len(comparison.rows) > 1 else [])]
    return _rendered("comparison.html.j2", comparison, pictures=[data_uri(picture) for picture in pictures])


def markdown_page(comparison: Comparison) -> str:
    """The same numbers without the pictures."""
    return _rendered("comparison.md.j2", comparison, pictures=[])


def bars(comparison: Comparison) -> bytes:
    """What each is worth by the two metrics that are always compared, as SVG; the first recipe is the highlighted one."""
    drawn = [
        plots.Bar(row.recipe, tuple(row.of(metric).value for metric in _drawn()), highlighted=place == 0)
        for place, row in enumerate(comparison.rows)
    ]
    return plots.bars_with_intervals(drawn, _drawn())


def ratios(comparison: Comparison) -> bytes:
    """The others against the first, paired by user: what bars that begin at 0 are too long to show."""
    first, *others = comparison.rows
    drawn = [plots.Bar(row.recipe, tuple(_ratio(row, metric) for metric in _drawn())) for row in others]
    return plots.ratios_with_intervals(drawn, _drawn(), to=first.recipe)


def _drawn() -> tuple[str, str]:
    settings = EvaluationSettings()
    return settings.primary_metric, settings.deep_recall


def _ratio(row: Row, metric: str) -> Interval:
    """Of a row that is not the first."""
    return row.of(metric).ratio or Interval(None, None, None, 0)


def headline(comparison: Comparison) -> str:
    """The finding in one sentence, as strong as the interval allows."""
    first, *others = comparison.rows
    metric = comparison.primary_metric
    if not others:
        return f"{metric_label(metric)} {with_interval(first.of(metric).value)} of {first.recipe}."
    best = max(others, key=lambda row: row.of(metric).value.mean or 0.0)
    found = best.of(metric)
    values = f"{metric_label(metric)} {number(found.value.mean)} against {number(first.of(metric).value.mean)}"
    if found.verdict in ("better", "worse"):
        return f"{_best_of(others, best)} ranks {found.verdict} than {first.recipe}: {values}."
    return f"{_best_of(others, best)} cannot be told apart from {first.recipe}: {values}."


def _best_of(others: list[Row], best: Row) -> str:
    return best.recipe if len(others) == 1 else f"{best.recipe}, the best of {len(others)},"


def _rendered(template: str, comparison: Comparison, *, pictures: list[str]) -> str:
    heads = dict.fromkeys(name for row in comparison.rows for name in row.heads)
    return (
        environment_of(_TEMPLATES, html=template.endswith(".html.j2"))
        .get_template(template)
        .render(
            comparison=comparison,
            headline=headline(comparison),
            pictures=pictures,
            metrics=EvaluationSettings().accuracy_metrics,
            heads=list(heads),
        )
    )
