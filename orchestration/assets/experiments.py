"""Beside the path: recipes tried and compared on the weeks before the test week. Nothing here releases anything."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.dataset.training_data import TrainingData
from ml.experiments.compare import Comparison, compare
from ml.experiments.comparison_log import EXPERIMENT as COMPARISONS
from ml.experiments.comparison_log import log_comparison
from ml.experiments.recipe import Recipe
from ml.experiments.search import SearchResult, Trial, search, study_name
from ml.experiments.space import SearchSpace
from ml.experiments.trial_log import EXPERIMENT as TRIALS
from ml.experiments.trial_log import TrialLog
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.resources.studies import StudyFolder
from orchestration.settings import utc_now

GROUP, OWNERS = "experiments", ["team:ml"]


class SearchConfig(dg.Config):
    """Which search."""

    space: str = Field(description="YAML file that says what is searched; docs/recipes.md has one.")
    trials: int | None = Field(default=None, description="Recipes to try in all; what the file says when null.")

    def read(self) -> SearchSpace:
        space = SearchSpace.read(Path(self.space))
        return SearchSpace.model_validate({**space.model_dump(), "trials": self.trials or space.trials})


@dg.asset(kinds={"optuna"}, group_name=GROUP, owners=OWNERS)
def best_recipe(
    context: dg.AssetExecutionContext,
    config: SearchConfig,
    training_examples: TrainingData,
    recipe: RecipeResource,
    studies: StudyFolder,
    releases: ReleaseStore,
) -> dg.Output[SearchResult]:
    """The best of the recipes a search tried around this process's own, judged on the weeks before the test week.

    Never sees an event of the test week. A killed search goes on with the next trial when it is started again; every trial is
    a run in MLflow.
    """
    space, base = config.read(), recipe.read()
    study = study_name(training_examples, space, base)
    log = TrialLog(releases.registry().book(TRIALS), study, space, {"dagster/run_id": context.run_id})

    def heard(trial: Trial) -> None:
        context.log.info("trial %d of %d: %s, %s", trial.number, space.trials, trial.state, trial.value)
        log.hear(trial)

    found = search(training_examples, space, base, folder=studies.of(study), on_trial=heard)
    found.save(studies.of(study))
    return dg.Output(
        found,
        metadata={
            **found.summary(),
            "recipe": dg.MetadataValue.path(str(found.recipe_in(studies.of(study)))),
            "trials_table": dg.MetadataValue.md(found.as_markdown()),
        },
    )


class ComparisonConfig(dg.Config):
    """Which recipes."""

    recipes: list[str] = Field(min_length=1, description="YAML files; the first is what the others are held against.")
    weeks: int = Field(default=2, ge=1, le=26, description="Weeks, the last of which ends where the test week begins.")

    def read(self) -> list[Recipe]:
        return [Recipe.read(Path(path)) for path in self.recipes]


@dg.asset(kinds={"python"}, group_name=GROUP, owners=OWNERS)
def experiment_comparison(
    context: dg.AssetExecutionContext,
    config: ComparisonConfig,
    training_examples: TrainingData,
    studies: StudyFolder,
    releases: ReleaseStore,
    reports: ReportFolder,
) -> dg.Output[Comparison]:
    """Recipes, of any model types, side by side on the weeks before the test week, with paired intervals against the first.

    Each is trained anew before each week. What was judged once is not judged again.
    """
    from ml.experiments.comparison_page import html_page, markdown_page

    recipes = config.read()
    compared = compare(
        training_examples,
        recipes,
        weeks=config.weeks,
        folder=studies.of("compared"),
        on_judged=lambda name, cut: context.log.info("%s on the week before %s", name, cut.date()),
    )
    page = reports.page("experiment_comparison", context.run_id)
    page.write_text(html_page(compared), encoding="utf-8")
    book, tags = releases.registry().book(COMPARISONS), {"dagster/run_id": context.run_id}
    log_comparison(book, compared, recipes, now=utc_now(), page=page, tags=tags)
    return dg.Output(
        compared,
        metadata={
            **compared.summary(),
            "page": reports.shown(page),
            "table": dg.MetadataValue.md(markdown_page(compared)),
        },
    )
