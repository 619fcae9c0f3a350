"""Runs in MLflow: what was tried, with what, and what came of it. A book of numbers and files; nothing in it is executed."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mlflow import MlflowClient

Curve = Sequence[Sequence[float]]
"""Pairs of step and value."""
METRICS_AT_ONCE, PARAMS_AT_ONCE = 900, 100
"""Of one request; MLflow takes 1,000 things together."""


@dataclass(frozen=True)
class LoggedRun:
    """What is written down of one run."""

    name: str
    at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()
    """Files or folders, and the folder of the run each is kept in."""
    status: Literal["FINISHED", "KILLED", "FAILED"] = "FINISHED"


@dataclass(frozen=True)
class RunBook:
    """One experiment of an MLflow tracking store."""

    tracking_uri: str
    artifact_root: str
    experiment: str

    def log(self, run: LoggedRun) -> str:
        """Write a run down; its id in MLflow."""
        from mlflow.entities import Metric, Param

        now = int(run.at.timestamp() * 1000)
        values: list[tuple[str, float, float]] = [(name, 0, value) for name, value in run.metrics.items()]
        values += [(name, step, value) for name, curve in run.curves.items() for step, value in curve]
        metrics = [Metric(mlflow_name(name), value, now, int(step)) for name, step, value in values]
        made = self.client.create_run(self._experiment_id, run_name=run.name, tags=dict(run.tags)).info.run_id
        params = [Param(name, value) for name, value in run.params.items()]
        for some in batched(params, PARAMS_AT_ONCE):
            self.client.log_batch(made, params=some)
        for points in batched(metrics, METRICS_AT_ONCE):
            self.client.log_batch(made, metrics=points)
        for path, folder in run.files:
            log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
            log(made, str(path), folder)
        self.client.set_terminated(made, run.status)
        return str(made)

    def tagged(self, tags: Mapping[str, str]) -> Iterable[Any]:
        """Runs with all of these tags, of those that were written down to their end."""
        asked = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self.client.search_runs([self._experiment_id], asked, max_results=10_000)
        return (run for run in found if run.info.status != "RUNNING")

    @cached_property
    def client(self) -> "MlflowClient":
        # Set before the first import, which decides about it. MLflow takes three seconds to import: only here.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)

    @property
    def _experiment_id(self) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        # MLflow's default is ./mlruns under whatever folder the process happens to run in.
        served = self.tracking_uri.startswith(("http://", "https://"))
        return str(
            self.client.create_experiment(self.experiment, artifact_location=None if served else self.artifact_root)
        )


def mlflow_name(metric: str) -> str:
    """MLflow allows no @ in a metric's name."""
    return metric.replace("@", "_at_")


def batched(things: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (things[start : start + size] for start in range(0, len(things), size))
