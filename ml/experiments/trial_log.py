"""The trials of a study in MLflow, each once, however often the search was taken up again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ml.experiments.search import State, Trial
from ml.experiments.space import SearchSpace
from ml.release.runs import LoggedRun, RunBook

EXPERIMENT = "aisle-search"
STATUS: dict[State, Literal["FINISHED", "KILLED", "FAILED"]] = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
}


@dataclass(frozen=True)
class TrialLog:
    """Hears trials and writes down those that are not there yet: parameters, the metric by step, what became of them."""

    book: RunBook
    study: str
    space: SearchSpace
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of every run it writes."""

    def hear(self, trial: Trial) -> None:
        if str(trial.number) in self._written:
            return
        self.book.log(
            LoggedRun(
                f"{self.study} {trial.number}",
                at=trial.ended_at,
                metrics={} if trial.value is None else {self.space.metric: trial.value, "seconds": trial.seconds},
                curves={f"{self.space.metric}_so_far": trial.steps},
                params={name: json.dumps(value) for name, value in trial.values.items()},
                tags={
                    **self.tags,
                    "study": self.study,
                    "trial": str(trial.number),
                    "state": trial.state,
                    "judged_by": self.space.judged_by,
                    **({"reason": trial.reason} if trial.reason else {}),
                },
                status=STATUS[trial.state],
            )
        )
        self._written.add(str(trial.number))

    @cached_property
    def _written(self) -> set[str]:
        return {run.data.tags["trial"] for run in self.book.tagged({"study": self.study})}
