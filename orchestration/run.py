"""Runs jobs of the graph in this process, on the history the Dagster UI shows."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.calendar import Calendar
from orchestration.history import batched_instance
from orchestration.partitions import RANGE_END, RANGE_START
from orchestration.progress import Progress
from orchestration.settings import PlatformSettings, utc_now
from orchestration.terminal import Terminal

ROOT = Path(__file__).parents[1]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own console log: `Progress` says what a person needs to know, the UI keeps all of it."""


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    run_id: str
    success: bool
    progress: Progress


def run_job(
    defs: dg.Definitions,
    name: str,
    instance: dg.DagsterInstance,
    *,
    terminal: Terminal,
    tags: Mapping[str, str] | None = None,
    asset_config: Mapping[str, Mapping[str, Any]] | None = None,
) -> Finished:
    """Run one job to its end, saying each step as it finishes.

    Args:
        asset_config: by the name of the step, `ml__best_recipe` say.
    """
    job = defs.resolve_job_def(name)
    graph = defs.resolve_asset_graph()
    group_of = {key: graph.get(key).group_name for key in graph.get_all_asset_keys()}
    progress = Progress(terminal.say, group_of, num_steps=len(job.graph.nodes), hint=terminal.hint)
    run_id = str(uuid.uuid4())
    instance.add_event_listener(run_id, progress.hear)
    result = job.execute_in_process(
        run_config={**_QUIET, "ops": {name: {"config": dict(config)} for name, config in (asset_config or {}).items()}},
        instance=instance,
        run_id=run_id,
        tags=dict(tags or {}),
        raise_on_error=False,
    )
    return Finished(run_id, result.success, progress)


def whole_range(calendar: Calendar) -> dict[str, str]:
    """Tags of a run over every day of the shop."""
    return {RANGE_START: calendar.first_day.isoformat(), RANGE_END: calendar.until(utc_now()).isoformat()}


@contextmanager
def history_of(settings: PlatformSettings) -> Iterator[dg.DagsterInstance]:
    """The persistent Dagster instance of a home folder."""
    folder = dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(folder)
    with batched_instance(folder) as instance:
        yield instance


def dagster_home(settings: PlatformSettings) -> Path:
    """Folder with the `dagster.yaml` in force: what DAGSTER_HOME names, else the repository's root, whose history is in
    `.dagster/`. Another home than the root's own gets a history of its own: two shops must not share one.
    """
    if named := os.environ.get("DAGSTER_HOME"):
        return Path(named)
    if settings.home == ROOT / ".aisle":
        return ROOT
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    relocated = (ROOT / "dagster.yaml").read_text().replace("base_dir: .dagster", f"base_dir: {folder}")
    (folder / "dagster.yaml").write_text(relocated)
    return folder
