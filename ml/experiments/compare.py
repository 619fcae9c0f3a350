"""Recipes side by side on the same users of the same weeks: what each is worth, and whether the difference is more than luck."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from ml.contract.errors import RecipeError
from ml.contract.files import locked
from ml.contract.types import Rows
from ml.dataset.training_data import TrainingData
from ml.evaluation.intervals import Interval, mean_interval, paired_interval
from ml.evaluation.ranking_metrics import PerUser
from ml.evaluation.report import EvaluationReport, EvaluationSettings, verdict_of
from ml.experiments.judges import validation_cuts, within_reach
from ml.experiments.recipe import Recipe
from ml.experiments.rolling import judged_users, train_and_judge

TWO_TOWER = "two_tower"
OnJudged = Callable[[str, datetime], None]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Frozen):
    """One metric of one recipe, over all users and weeks."""

    metric: str
    value: Interval
    difference: Interval | None
    """From the first recipe, paired by user; None for the first itself."""
    ratio: Interval | None

    @property
    def verdict(self) -> str:
        """Against the first recipe."""
        return "the first" if self.difference is None else verdict_of(self.difference)


class Row(_Frozen):
    """What one recipe came to."""

    recipe: str
    model_type: str
    differs_in: dict[str, str]
    """From the first recipe: dotted names, `its value (the first's)`."""
    measured: tuple[Measured, ...]
    towers_recall: float | None
    """Share of what known users wanted among the candidates the towers proposed; mean of the weeks."""
    heads: dict[str, float]
    """Errors of the rating head by name, `value.test.rmse` say; mean of the weeks that have them."""

    def of(self, metric: str) -> Measured:
        return next(each for each in self.measured if each.metric == metric)


class Comparison(_Frozen):
    """Some recipes, the first of which the others are held against."""

    cuts: tuple[datetime, ...]
    """Ends of the weeks, newest first."""
    num_values: int
    """Users and weeks that were judged."""
    rows: tuple[Row, ...]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.json").write_text(self.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls.model_validate_json((folder / "comparison.json").read_bytes())

    @property
    def primary_metric(self) -> str:
        return EvaluationSettings().primary_metric

    def summary(self) -> dict[str, float | str]:
        """The primary metric of each recipe."""
        return {
            f"{self.primary_metric} of {row.recipe}": value
            for row in self.rows
            if (value := row.of(self.primary_metric).value.mean) is not None
        }


def compare(
    data: TrainingData,
    recipes: Sequence[Recipe],
    *,
    weeks: int,
    folder: Path,
    on_judged: OnJudged | None = None,
) -> Comparison:
    """Each recipe trained anew before each of the weeks before the test week, which none of them sees.

    Args:
        folder: keeps what was judged: a killed comparison goes on, and one more recipe costs only itself.
        on_judged: hears the name and the week's end of each.

    Raises:
        RecipeError: no recipe, two of one name, or of different splits.
        DataError: the snapshot does not reach back far enough.
    """
    _require_comparable(recipes)
    cuts = validation_cuts(data, recipes[0].split, weeks=weeks)
    reports: dict[str, list[EvaluationReport]] = {recipe.name: [] for recipe in recipes}
    owners = [judged_users(data, cut, recipes[0]) for cut in cuts]
    for cut, recipe in product(cuts, recipes):
        with locked(folder):  # another process that compares waits, and then finds it judged
            reports[recipe.name].append(_judged(data, cut, within_reach(data, recipe, oldest=cuts[-1]), folder=folder))
        if on_judged:
            on_judged(recipe.name, cut)
    together = np.concatenate(owners)
    first = recipes[0]
    return Comparison(
        cuts=cuts,
        num_values=len(together),
        rows=tuple(_row(recipe, first, reports, owners=together) for recipe in recipes),
    )


def _judged(data: TrainingData, cut: datetime, recipe: Recipe, *, folder: Path) -> EvaluationReport:
    """From `folder` if it was judged before."""
    asked = f"{data.digest} {cut.isoformat()} {recipe.model_dump_json(exclude={'name'})}"
    kept = folder / sha256(asked.encode()).hexdigest()[:16]
    if not kept.exists():
        unfinished = kept.with_suffix(".unfinished")
        train_and_judge(data, cut, recipe).save(unfinished)
        unfinished.replace(kept)
    return EvaluationReport.load(kept)


def _row(recipe: Recipe, first: Recipe, reports: Mapping[str, list[EvaluationReport]], *, owners: Rows) -> Row:
    mine, theirs = reports[recipe.name], None if recipe is first else reports[first.name]
    return Row(
        recipe=recipe.name,
        model_type=recipe.retriever.model_type,
        differs_in=_differences(recipe, first),
        measured=tuple(_measured(metric, mine, theirs, owners) for metric in EvaluationSettings().accuracy_metrics),
        towers_recall=_mean(
            part.recall for report in mine for part in report.summary.candidates if part.source == TWO_TOWER
        ),
        heads=_heads(mine),
    )


def _measured(
    metric: str, mine: list[EvaluationReport], theirs: list[EvaluationReport] | None, owners: Rows
) -> Measured:
    values = _of_all(mine, metric)
    pair = paired_interval(values, _of_all(theirs, metric), owners=owners) if theirs else None
    return Measured(
        metric=metric,
        value=mean_interval(values, owners=owners),
        difference=pair and pair.difference,
        ratio=pair and pair.ratio,
    )


def _of_all(reports: list[EvaluationReport], metric: str) -> PerUser:
    """Week after week."""
    return np.concatenate([report.per_user.of(metric) for report in reports])


def _heads(reports: list[EvaluationReport]) -> dict[str, float]:
    found = [report.summary.head_metrics() for report in reports]
    names = dict.fromkeys(name for each in found for name in each)
    return {name: value for name in names if (value := _mean(each.get(name) for each in found)) is not None}


def _mean(values: Iterable[float | None]) -> float | None:
    """Of the known ones; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _differences(recipe: Recipe, first: Recipe) -> dict[str, str]:
    theirs = first.values
    return {
        name: f"{value} ({theirs[name]})"
        for name, value in recipe.values.items()
        if value != theirs[name] and name != "name"
    }


def _require_comparable(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    if not names or len(set(names)) < len(names):
        raise RecipeError(
            f"A comparison needs recipes, each with a name of its own. Received: {', '.join(names) or 'none'}. "
            "Name another file."
        )
    splits = {recipe.split.model_dump_json(exclude={"train_days", "ranker_weeks"}) for recipe in recipes}
    if len(splits) > 1:
        raise RecipeError(
            f"Compared recipes must be judged on the same days. Received: {' and '.join(sorted(splits))}. "
            "Give them the same `validation_days` and `test_days`."
        )
