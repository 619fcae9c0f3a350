"""The pictures of a report as SVG. Matplotlib is imported when one is drawn, never before."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.intervals import Interval
from ml.evaluation.labels import metric_label, slice_label, system_label
from ml.evaluation.report import OURS, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS_COLOUR = "#0f766e"
_BASELINE_COLOUR = "#a8b3c1"
_LINE_COLOURS = ("#b45309", "#6d5fa8", "#8a94a3", "#3f7cac", "#7a8b4f")
_INK, _SOFT = "#1f2937", "#e5e7eb"


class Bar(NamedTuple):
    """One line of a picture of bars: a value for each panel."""

    label: str
    values: tuple[Interval, ...]
    highlighted: bool = False


def bars_with_intervals(bars: Sequence[Bar], metrics: Sequence[str]) -> bytes:
    """One panel a metric, whiskers for the interval."""
    figure = _figure(width=9.6, height=0.9 + 0.42 * len(bars))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    bars = list(reversed(bars))
    for panel, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        values = [bar.values[panel] for bar in bars]
        means, lows, highs = _arrays(values)
        colours = [_OURS_COLOUR if bar.highlighted else _BASELINE_COLOUR for bar in bars]
        axes.barh(range(len(bars)), np.nan_to_num(means), color=colours, height=0.62)
        whiskers = np.stack([means - lows, highs - means])
        axes.errorbar(means, range(len(bars)), xerr=whiskers, fmt="none", ecolor=_INK, elinewidth=1.1, capsize=3)
        reach = max((value.high or 0.0 for value in values), default=0.0) or 1.0
        for place, value in enumerate(values):
            text = "not judged" if value.mean is None else f"{value.mean:.3f}"
            axes.text((value.high or 0.0) + 0.02 * reach, place, text, va="center", color=_INK, fontsize=9)
        axes.set_xlim(0, reach * 1.18)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        axes.set_title(metric_label(metric), loc="left", fontsize=11, color=_INK, fontweight="bold")
        _quiet(axes, grid="x")
    return _svg(figure)


def ratios_with_intervals(bars: Sequence[Bar], metrics: Sequence[str], *, to: str) -> bytes:
    """One panel a metric, a dot and its interval for each ratio, a line at 1."""
    figure = _figure(width=9.6, height=0.9 + 0.42 * len(bars))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    bars = list(reversed(bars))
    for panel, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        means, lows, highs = _arrays([bar.values[panel] for bar in bars])
        axes.axvline(1, color=_OURS_COLOUR, linewidth=1.6)
        axes.hlines(range(len(bars)), lows, highs, color=_INK, linewidth=1.4)
        axes.plot(means, range(len(bars)), "o", color=_INK, markersize=6)
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        title = f"{metric_label(metric)}, ratio to {to}"
        axes.set_title(title, loc="left", fontsize=11, color=_INK, fontweight="bold")
        axes.locator_params(axis="x", nbins=5)  # ratios of .995 and the like are wide
        _quiet(axes, grid="x")
    return _svg(figure)


def recall_curve(summary: Summary) -> bytes:
    """Recall at every depth, one line a system, our interval as a band."""
    figure = _figure(width=9.6, height=4.0)
    axes = figure.subplots()
    depths = sorted(summary.settings.recall_depths)
    colours = iter(_LINE_COLOURS * len(summary.systems))
    for system in summary.systems:
        values = [summary.value(f"recall@{k}", system=system) for k in depths]
        means, lows, highs = _arrays(values)
        ours = system == OURS
        colour = _OURS_COLOUR if ours else next(colours)
        axes.plot(
            depths, means, marker="o", color=colour, linewidth=2.6 if ours else 1.4, markersize=5 if ours else 3.5,
            label=system_label(system), zorder=3 if ours else 2,
        )  # fmt: skip
        if ours:
            axes.fill_between(depths, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(depths, [str(k) for k in depths])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k, length of the list", color=_INK)
    axes.set_title("Recall@k", loc="left", fontsize=11, color=_INK, fontweight="bold")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _quiet(axes, grid="y")
    return _svg(figure)


def slices_dots(summary: Summary, metric: str) -> bytes:
    """Ours and the best baseline of each slice side by side, with intervals; slices without a judged user are left out."""
    names = [part.name for part in reversed(summary.slices) if part.num_users]
    figure = _figure(width=9.6, height=1.1 + 0.5 * len(names))
    axes = figure.subplots()
    for shift, colour, label in ((0.13, _OURS_COLOUR, system_label(OURS)), (-0.13, "#64748b", "Best baseline there")):
        chosen = [OURS if shift > 0 else summary.best_baseline(metric, slice_name=name) for name in names]
        judged = [
            (place + shift, summary.value(metric, system=system, slice_name=name))
            for place, (name, system) in enumerate(zip(names, chosen, strict=True))
            if system is not None
        ]
        means, lows, highs = _arrays([value for _, value in judged])
        places = [place for place, _ in judged]
        axes.hlines(places, lows, highs, color=colour, linewidth=2)
        axes.plot(means, places, "o", color=colour, label=label, markersize=6)
    axes.set_yticks(range(len(names)), [slice_label(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(left=0)
    axes.set_title(f"{metric_label(metric)} by slice", loc="left", fontsize=11, color=_INK, fontweight="bold")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _quiet(axes, grid="x")
    return _svg(figure)


def trade_off(summary: Summary) -> bytes:
    """The diversity curve: what lists hit over how varied they are, and over how far from the bestsellers, one point a lambda."""
    curve = [part for part in summary.variations if part.relevance is not None]
    figure = _figure(width=9.6, height=3.6)
    panels = figure.subplots(1, 2, sharey=True)
    means, lows, highs = _arrays([part.ndcg for part in curve])
    sides = (
        ("Diversity: 1 - cosine of the pairs shown", [part.diversity for part in curve]),
        ("Novelty, bits", [part.novelty for part in curve]),
    )
    for axes, (name, values) in zip(panels, sides, strict=True):
        places = np.array(values, np.float64)
        axes.fill_between(places, lows, highs, color=_OURS_COLOUR, alpha=0.12, linewidth=0)
        axes.plot(places, means, "-", color=_OURS_COLOUR, linewidth=1.6)
        for part, x, y in zip(curve, places, means, strict=True):
            axes.plot(
                [x], [y], "o", color=_OURS_COLOUR if part.is_own else "#64748b", markersize=8 if part.is_own else 5
            )
            axes.annotate(
                f"{part.relevance:g}", (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=8, color=_INK
            )
        axes.set_xlabel(name, color=_INK)
        _quiet(axes, grid="y")
    panels[0].set_title(
        f"{metric_label(summary.settings.primary_metric)} by lambda",
        loc="left",
        fontsize=11,
        color=_INK,
        fontweight="bold",
    )
    return _svg(figure)


def _arrays(values: Sequence[Interval]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means, lows and highs; NaN, which draws nothing, where there is none."""
    means, lows, highs = np.array([(v.mean, v.low, v.high) for v in values], np.float64).reshape(-1, 3).T
    return means, lows, highs


def _figure(*, width: float, height: float) -> Figure:
    from matplotlib.figure import Figure as Canvas  # not pyplot: no global state, no window system

    return Canvas(figsize=(width, height), layout="constrained")


def _quiet(axes: Axes, *, grid: Literal["x", "y"]) -> None:
    axes.grid(axis=grid, color=_SOFT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)


def _svg(figure: Figure) -> bytes:
    import matplotlib

    buffer = BytesIO()
    # A fixed salt and no date: the same report gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "aisle"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
