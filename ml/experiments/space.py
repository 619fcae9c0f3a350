"""What a search may change, and what it is judged by: one small file, checked before anything is trained."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ml.contract.errors import RecipeError
from ml.evaluation.report import EvaluationSettings
from ml.experiments.recipe import Recipe, problems

Judge = Literal["towers", "lists"]
NOT_SEARCHED = {
    "name": "a name changes nothing",
    "split": "it decides by which days trials are judged, so two values could not be compared",
    "gate": "it acts after the lists are judged",
    "parity": "it acts after the lists are judged",
    "index": "trials search exactly",
}
NOT_OF_TOWERS = ("carry_on_epochs", "top_k", "events_in_memory")
"""Fields of the retriever that a trial of the towers does not use."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Frozen):
    """Numbers between two bounds, both included."""

    low: int | float = Field(description="Least value.")
    high: int | float = Field(description="Largest value.")
    step: int | float | None = Field(None, gt=0, description="Only `low` and whole steps above it; null: any number.")
    log: bool = Field(False, description="As many draws between 0.01 and 0.1 as between 0.1 and 1.")

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.low >= self.high:
            raise RecipeError(f"`low` must be below `high`. Received: {self.low} and {self.high}. Swap or widen them.")
        if self.log and self.low <= 0:
            raise RecipeError(f"`log` needs `low` above 0. Received: {self.low}. Raise it, or leave `log` out.")
        if self.log and self.step is not None:
            raise RecipeError(
                f"`log` and `step` exclude each other. Received: step {self.step}. Leave one of them out."
            )
        if self.step is not None and not np.isclose((self.high - self.low) / self.step % 1, [0, 1]).any():
            raise RecipeError(
                f"`high` must lie whole steps above `low`. Received: {self.low} to {self.high} by {self.step}. Move `high`."
            )
        return self

    @property
    def examples(self) -> tuple[Any, ...]:
        """The bounds and, where fractions may be drawn, one: who takes whole numbers alone refuses it."""
        return (self.low, self.high) if self.whole else (self.low, self.high, self.low + (self.high - self.low) / np.e)

    @property
    def whole(self) -> bool:
        """Whether all of it are whole numbers."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step) if each is not None)

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(_Frozen):
    """A few values, in no order: words, numbers, lists, null."""

    choices: tuple[Any, ...] = Field(min_length=2, description="Values as a recipe would say them.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.spelled)) < len(self.choices):
            raise RecipeError(f"Choices must differ. Received: {list(self.choices)}. Name each once.")
        return self

    @property
    def examples(self) -> tuple[Any, ...]:
        return self.choices

    @property
    def spelled(self) -> list[str]:
        """As JSON: a study keeps words and numbers, no lists."""
        return [json.dumps(choice) for choice in self.choices]

    def holds(self, value: Any) -> bool:
        return json.dumps(value) in self.spelled


class Pruning(_Frozen):
    """A trial that is worse than the median of those before it, at the same step, goes no further."""

    after_trials: int = Field(4, ge=1, description="So many first trials always run to their end.")
    after_steps: int = Field(1, ge=0, description="So many first steps of a trial decide nothing.")


class SearchSpace(_Frozen):
    """What is tried, how often, and what is best."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$", description="Of the study; the file's name when left out.")
    judged_by: Judge = Field(
        "lists",
        description="lists: the whole method, trained anew before each week, step by week. towers: the two towers alone, "
        "step by epoch; many times faster.",
    )
    metric: str = Field("ndcg@10", description="What is made as large as it goes: one of the offline report's.")
    weeks: int = Field(
        2, ge=1, le=26, description="Validation weeks, the last of which ends where the test week begins."
    )
    trials: int = Field(30, ge=1, le=10_000, description="Recipes to try in all, those of an interrupted run included.")
    seed: int = Field(7, ge=0, lt=2**31, description="Of the draws.")
    pruning: Pruning | None = Field(default_factory=Pruning, description="null: every trial runs to its end.")
    search: dict[str, Range | Choices] = Field(min_length=1, description="Dotted names of a recipe's fields.")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a YAML file.

        Raises:
            RecipeError: the file is absent, or what it says does not fit.
        """
        if not path.is_file():
            raise RecipeError(
                f"Expected a search space. Received: {path}, which does not exist. docs/recipes.md has one."
            )
        said = yaml.safe_load(path.read_text())
        if not isinstance(said, dict):
            raise RecipeError(f"A search space must be a YAML mapping. Received: {type(said).__name__} in {path}.")
        try:
            return cls.model_validate({"name": path.stem, **said})
        except ValidationError as error:
            raise RecipeError(f"Search space {path} does not fit: {problems(error)}.") from error

    @model_validator(mode="after")
    def _metric_is_measured(self) -> Self:
        known = EvaluationSettings().accuracy_metrics
        if self.metric not in known:
            raise RecipeError(f"`metric` must be one of {', '.join(known)}. Received: {self.metric!r}.")
        return self

    @model_validator(mode="after")
    def _fields_can_be_judged(self) -> Self:
        for name in self.search:
            section, _, field = name.partition(".")
            if reason := NOT_SEARCHED.get(section):
                raise RecipeError(
                    f"`{name}` cannot be searched: {reason}. Set it in the recipe the search starts from."
                )
            if name.endswith("seed"):
                raise RecipeError(f"`{name}` cannot be searched: the best seed is the luckiest. Leave it out.")
            if self.judged_by == "towers" and (section != "retriever" or field in NOT_OF_TOWERS):
                raise RecipeError(
                    f"`{name}` changes nothing about towers on their own. Received: `judged_by: towers`. "
                    "Leave the field out, or set `judged_by: lists`."
                )
        return self

    def check(self, base: Recipe) -> None:
        """Pass when every bound and every choice, alone, makes a recipe of `base`.

        Raises:
            RecipeError: one does not, or no recipe has that field.
        """
        known = base.values
        for name, values in self.search.items():
            if name not in known:
                near = get_close_matches(name, known, n=3)
                hint = f"Near it: {', '.join(near)}." if near else "docs/recipes.md lists them."
                raise RecipeError(
                    f"A search needs the dotted name of a recipe's field. Received: {name!r} in {self.name}. {hint}"
                )
            for value in values.examples:
                base.having({name: value})

    def around(self, base: Recipe) -> dict[str, Any] | None:
        """What `base` itself says of the searched fields; None when it lies outside the space."""
        said = {name: base.values[name] for name in self.search}
        return said if all(self.search[name].holds(value) for name, value in said.items()) else None
