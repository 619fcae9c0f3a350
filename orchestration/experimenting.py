"""What `aisle search` and `aisle compare` do: one job each on the snapshot of the last run, and its finding said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ml.contract.errors import PlatformError
from ml.experiments.recipe import Recipe
from ml.experiments.space import SearchSpace
from orchestration.calendar import remember
from orchestration.resources import artifacts_of
from orchestration.settings import PlatformSettings, utc_now
from orchestration.terminal import Terminal, output_kept_in


def search_recipes(settings: PlatformSettings, space: Path, *, trials: int | None, terminal: Terminal) -> bool:
    """Whether a best recipe was found; its file and its worth are said.

    Raises:
        RecipeError: the space does not fit the recipe.
        PlatformError: there is no snapshot yet.
    """
    SearchSpace.read(space).check(Recipe.read(settings.recipe))  # before anything heavy is loaded
    config = {"space": str(space.absolute()), **({"trials": trials} if trials else {})}
    return _done(settings, "search_recipes", "best_recipe", config, terminal)


def compare_recipes(settings: PlatformSettings, recipes: list[Path], *, weeks: int, terminal: Terminal) -> bool:
    """Whether the recipes were compared; table and page are said.

    Raises:
        RecipeError: a recipe cannot be read.
        PlatformError: there is no snapshot yet.
    """
    for path in recipes:
        Recipe.read(path)
    config = {"recipes": [str(path.absolute()) for path in recipes], "weeks": weeks}
    return _done(settings, "compare_recipes", "experiment_comparison", config, terminal)


def _done(settings: PlatformSettings, job: str, asset: str, config: Mapping[str, Any], terminal: Terminal) -> bool:
    if artifacts_of(settings).folder_of(dg.AssetKey(["ml", "training_examples"])) is None:
        raise PlatformError(
            f"Recipes are tried on the snapshot of a run. Received: none in {settings.home}. Run `aisle run` first."
        )
    remember(settings, now=utc_now())  # the graph's partitions begin on the day written down
    log = settings.home / "logs" / f"{job}.log"
    with output_kept_in(log):
        from orchestration.definitions import defs
        from orchestration.run import history_of, run_job

        with history_of(settings) as instance:
            finished = run_job(defs, job, instance, terminal=terminal, asset_config={asset: config})
            if finished.success:
                _tell(instance, dg.AssetKey(["ml", asset]), terminal)
    for failure in finished.progress.failures:
        terminal.say(f"- {failure}")
    if not finished.success:
        terminal.say(f"All that was printed is in {log}; `make dev` shows run {finished.run_id} in the Dagster UI.")
    return finished.success


def _tell(instance: dg.DagsterInstance, key: dg.AssetKey, terminal: Terminal) -> None:
    """What the asset says of itself, tables and places of files among it."""
    event = instance.get_latest_materialization_event(key)
    told = event.asset_materialization.metadata if event and event.asset_materialization else {}
    for name, value in told.items():
        if isinstance(value, dg.MarkdownMetadataValue):
            terminal.say(f"\n{value.value}")
        elif name not in ("path", "size_mb"):
            terminal.say(f"{name}: {value.value}")
