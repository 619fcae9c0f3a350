"""A comparison in MLflow: one run a recipe with its whole content, and the page with each."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ml.experiments.compare import Comparison
from ml.experiments.recipe import Recipe
from ml.release.runs import LoggedRun, RunBook

EXPERIMENT = "aisle-compare"


def log_comparison(
    book: RunBook,
    comparison: Comparison,
    recipes: Sequence[Recipe],
    *,
    now: datetime,
    page: Path,
    tags: Mapping[str, str],
) -> None:
    """Write down what each recipe came to; MLflow's own comparison of runs then shows them side by side."""
    for recipe, row in zip(recipes, comparison.rows, strict=True):
        means = {each.metric: each.value.mean for each in row.measured} | row.heads
        ratios = {f"{each.metric}_ratio": each.ratio.mean for each in row.measured if each.ratio}
        known = {name: value for name, value in {**means, **ratios}.items() if value is not None}
        book.log(
            LoggedRun(
                recipe.name,
                at=now,
                metrics=known,
                params={name: json.dumps(value) for name, value in recipe.values.items()},
                tags={**tags, "first": comparison.rows[0].recipe},
                files=((page, "reports"),),
            )
        )
