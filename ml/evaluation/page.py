"""A report as one page that needs nothing else: HTML with its pictures inside, and a Markdown twin."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml.evaluation import labels, plots
from ml.evaluation.report import OURS, Comparison, Summary

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class SliceLine:
    """One slice as the page tells it: ours against the best baseline there; None where nobody was judged."""

    name: str
    meaning: str
    num_users: int
    num_pairs: int
    ours: str
    theirs: str
    comparison: Comparison | None


def html_page(summary: Summary) -> str:
    """The whole report; self-contained, no script, no request to anywhere."""
    metrics = (summary.settings.primary_metric, summary.settings.deep_recall)
    pictures = {
        "bars": data_uri(plots.bars_with_intervals(_bars(summary, metrics), metrics)),
        "curve": data_uri(plots.recall_curve(summary)),
        "slices": data_uri(plots.slices_dots(summary, summary.settings.primary_metric)),
    }
    if summary.variations:
        pictures["trade_off"] = data_uri(plots.trade_off(summary))
    return _rendered("report.html.j2", summary, pictures)


def markdown_page(summary: Summary) -> str:
    """The same numbers without the pictures: for run metadata and a terminal."""
    return _rendered("report.md.j2", summary, {})


def slice_lines(summary: Summary, metric: str) -> list[SliceLine]:
    """Every slice, empty ones included: a slice nobody is in is a finding too."""
    lines = []
    for part in summary.slices:
        best = summary.best_baseline(metric, slice_name=part.name)
        ours = labels.with_interval(summary.value(metric, slice_name=part.name))
        theirs = labels.UNDEFINED
        if best is not None:
            value = labels.with_interval(summary.value(metric, system=best, slice_name=part.name))
            theirs = f"{value} {labels.system_label(best)}"
        comparison = best and summary.comparison(metric, baseline=best, slice_name=part.name)
        lines.append(
            SliceLine(
                labels.slice_label(part.name),
                part.meaning,
                part.num_users,
                part.num_pairs,
                ours,
                theirs,
                comparison or None,
            )
        )
    return lines


def _bars(summary: Summary, metrics: tuple[str, ...]) -> list[plots.Bar]:
    return [
        plots.Bar(
            labels.system_label(system),
            tuple(summary.value(metric, system=system) for metric in metrics),
            highlighted=system == OURS,
        )
        for system in summary.systems
    ]


def environment_of(*folders: Path, html: bool) -> "Environment":
    """Templates of a page, the report's own style and words among them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": labels.number,
        "interval": labels.with_interval,
        "system": labels.system_label,
        "metric": labels.metric_label,
        "head": labels.head_label,
        "known": labels.known,
    }
    return environment


def _rendered(template: str, summary: Summary, pictures: dict[str, str]) -> str:
    environment = environment_of(html=template.endswith(".html.j2"))
    primary = summary.settings.primary_metric
    return environment.get_template(template).render(
        summary=summary,
        ours=OURS,
        headline=labels.headline(summary),
        against_champion=labels.against_champion(summary),
        pictures=pictures,
        primary=primary,
        slices=slice_lines(summary, primary),
        metrics=list(dict.fromkeys(score.metric for score in summary.scores if score.slice == "all")),
        coverage={(part.system, part.k): part.share for part in summary.coverage},
        undefined=labels.UNDEFINED,
    )


def data_uri(svg: bytes) -> str:
    """A picture inside the page."""
    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
