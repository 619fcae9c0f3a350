"""A search over recipes: an Optuna study in a folder, which a killed process takes up where it was."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from ml.contract.errors import RecipeError
from ml.contract.files import locked
from ml.dataset.training_data import TrainingData
from ml.experiments.judges import JUDGES, Judged
from ml.experiments.recipe import Recipe
from ml.experiments.space import Choices, Range, SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OpenTrial

STUDY = "study.db"
TRIALS = "trials.json"
State = Literal["complete", "pruned", "failed"]
REFUSED = "refused"
"""Note on a failed trial: why. One without was left by a process that died."""


class Trial(BaseModel):
    """One recipe that was tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    state: State
    value: float | None
    """Of the metric; of a pruned trial, what it had come to."""
    values: dict[str, Any]
    """Of the searched fields, by dotted name."""
    steps: tuple[tuple[int, float], ...]
    """The metric after each step."""
    reason: str | None
    """Why it failed."""
    seconds: float
    ended_at: datetime


TRIAL_LIST = TypeAdapter(tuple[Trial, ...])
OnTrial = Callable[[Trial], None]


@dataclass(frozen=True)
class SearchResult:
    """All that was tried, and the best of it."""

    space: SearchSpace
    base: Recipe
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The first of the best complete trials.

        Raises:
            RecipeError: none is complete.
        """
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        if not complete:
            said = next((trial.reason for trial in self.trials if trial.reason), "no trial was run")
            raise RecipeError(
                f"A search needs one complete trial. Received: {len(self.trials)}, none of them complete. The first failure: "
                f"{said} Mend the search space, or raise `trials`."
            )
        return max(complete, key=lambda trial: (trial.value, -trial.number))

    @property
    def recipe(self) -> Recipe:
        return self.base.having({**self.best.values, "name": self.space.name})

    def save(self, folder: Path) -> None:
        """`<name of the space>.yaml`, as `aisle run --recipe` takes it, and `trials.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe.write(self.recipe_in(folder), always=self.space.search)
        (folder / TRIALS).write_bytes(TRIAL_LIST.dump_json(self.trials, indent=1))

    def recipe_in(self, folder: Path) -> Path:
        """Where `save` puts the best recipe."""
        return folder / f"{self.space.name}.yaml"

    def summary(self) -> dict[str, float | int | str]:
        """The headline."""
        found: dict[str, float | int | str] = {"trials": len(self.trials), "best_trial": self.best.number}
        found |= Counter(trial.state for trial in self.trials)
        found[f"best {self.space.metric}"] = self.best.value or 0.0
        first = self.trials[0]
        if first.state == "complete" and first.values == self.space.around(self.base):
            found[f"{self.space.metric} of the recipe it started from"] = first.value or 0.0
        return found

    def as_markdown(self) -> str:
        """Every trial, the best first; those that went no further after those that did."""
        names = [name.rpartition(".")[2] for name in self.space.search]
        order: dict[State, int] = {"complete": 0, "pruned": 1, "failed": 2}
        ranked = sorted(self.trials, key=lambda trial: (order[trial.state], -(trial.value or 0.0), trial.number))
        lines = [
            [str(t.number), t.state, _told(t.value), *(_told(t.values[n]) for n in self.space.search)] for t in ranked
        ]
        table = [["trial", "state", self.space.metric, *names], ["---"] * (3 + len(names)), *lines]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def search(
    data: TrainingData,
    space: SearchSpace,
    base: Recipe,
    *,
    folder: Path,
    on_trial: OnTrial | None = None,
    judge: Judged | None = None,
) -> SearchResult:
    """Try recipes around `base` until the study has `space.trials` of them, the first of them `base` itself.

    A process that is killed loses the trial it was at. Called again with the same arguments the study goes on, and ends with the
    trials the uninterrupted one would have had.

    Args:
        folder: of this study alone; a second process waits for the first.
        on_trial: hears every trial that has ended, those of former calls first.

    Raises:
        RecipeError: some field or value of the space does not fit `base`, or no recipe could be judged.
        DataError: the snapshot does not reach back far enough.
    """
    space.check(base)
    with locked(folder):
        study = _Study(_opened(folder, space), space, base)
        study.abandon_open_trials()
        for trial in study.ended():
            if on_trial:
                on_trial(trial)
        while study.num_tried < space.trials:
            ended = study.try_one(data, judge or JUDGES[space.judged_by])
            if on_trial:
                on_trial(ended)
        return SearchResult(space, base, tuple(study.ended()))


def study_name(data: TrainingData, space: SearchSpace, base: Recipe) -> str:
    """Another for other data, another start or another question: values of one study can be compared."""
    asked = space.model_dump_json(exclude={"name", "trials"}) + base.model_dump_json(exclude={"name"})
    return f"{space.name}-{sha256(f'{data.digest} {asked}'.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class _Study:
    """An open study and what it asks."""

    study: "Study"
    space: SearchSpace
    base: Recipe

    @property
    def num_tried(self) -> int:
        return sum(1 for _ in self.ended())

    def ended(self) -> Iterator[Trial]:
        """Without those whose process died: their recipes are drawn again."""
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state.name in ("COMPLETE", "PRUNED") or REFUSED in frozen.user_attrs:
                yield _trial(frozen)

    def abandon_open_trials(self) -> None:
        """Nobody works on them: this process has the study to itself."""
        from optuna.trial import TrialState

        for frozen in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(frozen.number, state=TrialState.FAIL)

    def try_one(self, data: TrainingData, judge: Judged) -> Trial:
        """Draw a recipe and judge it."""
        from optuna import TrialPruned
        from optuna.trial import TrialState

        opened = self._drawn()
        values = {name: _suggested(opened, name, among) for name, among in self.space.search.items()}

        def tell(step: int, value: float) -> None:
            opened.report(value, step)
            if opened.should_prune():
                raise TrialPruned

        try:
            frozen = self.study.tell(opened, judge(data, self.base.having(values), self.space, tell))
        except TrialPruned:
            frozen = self.study.tell(opened, state=TrialState.PRUNED)
        except RecipeError as error:  # of values that fit alone but not together
            opened.set_user_attr(REFUSED, str(error))
            frozen = self.study.tell(opened, state=TrialState.FAIL)
        return _trial(frozen)

    def _drawn(self) -> "OpenTrial":
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # A seed of each trial's own: a study taken up again draws what the uninterrupted one would have drawn.
        tried = self.num_tried
        self.study.sampler = TPESampler(seed=self.space.seed + tried)
        start = self.space.around(self.base)
        if not tried and start and not self.study.get_trials(states=(TrialState.WAITING,)):
            self.study.enqueue_trial(
                {n: v if isinstance(self.space.search[n], Range) else json.dumps(v) for n, v in start.items()}
            )
        return self.study.ask()


def _opened(folder: Path, space: SearchSpace) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruning = space.pruning
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if pruning:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=pruning.after_trials, n_warmup_steps=pruning.after_steps)
    return optuna.create_study(
        storage=f"sqlite:///{folder.absolute() / STUDY}",
        study_name=folder.name,
        direction="maximize",
        pruner=pruner,
        load_if_exists=True,
    )


def _suggested(trial: "OpenTrial", name: str, among: Range | Choices) -> Any:
    if isinstance(among, Choices):
        return json.loads(trial.suggest_categorical(name, among.spelled))
    if among.whole:
        return trial.suggest_int(name, int(among.low), int(among.high), step=int(among.step or 1), log=among.log)
    return trial.suggest_float(name, among.low, among.high, step=among.step, log=among.log)


def _trial(frozen: "FrozenTrial") -> Trial:
    state: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    steps = tuple(sorted(frozen.intermediate_values.items()))
    assert frozen.duration  # it has ended
    assert frozen.datetime_complete
    return Trial(
        number=frozen.number,
        state=state[frozen.state.name],
        value=frozen.value if frozen.value is not None else steps[-1][1] if steps else None,
        values={name: json.loads(v) if isinstance(v, str) else v for name, v in frozen.params.items()},
        steps=steps,
        reason=frozen.user_attrs.get(REFUSED),
        seconds=frozen.duration.total_seconds(),
        ended_at=frozen.datetime_complete.astimezone(UTC),  # Optuna's are local and say no zone
    )


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else json.dumps(value).strip('"')
