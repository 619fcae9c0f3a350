"""The outside world as the assets see it, chosen by one variable."""

from typing import Any, assert_never

import dagster as dg

from ml.experiments.recipe import Recipe
from orchestration.calendar import calendar_of
from orchestration.checks.expectations import Expectations
from orchestration.resources.artifacts import ArtifactStore
from orchestration.resources.dbt import Dbt, FeatureCuts
from orchestration.resources.exports import ExportArea
from orchestration.resources.google import require_google
from orchestration.resources.image_encoder import ImageEncoderResource
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.resources.studies import StudyFolder
from orchestration.resources.text_encoder import TextEncoderResource
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.settings import Platform, PlatformSettings, utc_now
from orchestration.sources.resource import SourceResource


def resources_for(settings: PlatformSettings) -> dict[str, Any]:
    """Every resource of the asset graph, by the name of the parameter that asks for it.

    Raises:
        PlatformError: the platform lacks something. Nothing falls back to another one.
    """
    return {
        "source": _source(settings),
        "warehouse": warehouse_of(settings),
        "dbt": Dbt.of(settings),
        "text_encoder": TextEncoderResource(
            path=str(settings.text_encoder.absolute()) if settings.text_encoder else None
        ),
        "image_encoder": ImageEncoderResource(
            weights=str(settings.image_weights.absolute()) if settings.image_weights else None,
            folder=str(settings.image_dir.absolute()) if settings.image_dir else None,
        ),
        "expectations": Expectations.of(settings),
        "feature_cuts": FeatureCuts(ranker_weeks=Recipe.read(settings.recipe).split.ranker_weeks),
        "exports": ExportArea(
            uri=settings.in_bucket("exports") or str(settings.home / "exports"),
            scratch_folder=str(settings.home / "scratch"),
        ),
        "io_manager": artifacts_of(settings),
        "releases": _releases(settings),
        "reports": ReportFolder(path=str(settings.reports_path), remote=settings.in_bucket("reports")),
        "studies": StudyFolder(path=str(settings.home / "studies")),
        "recipe": RecipeResource(
            path=str(settings.recipe.absolute()) if settings.recipe else None,
            checkpoint_folder=str(settings.home / "checkpoints"),
            checkpoint_store=settings.in_bucket("checkpoints"),
            tf_config=settings.tf_config,
        ),
    }


def warehouse_of(settings: PlatformSettings) -> Warehouse:
    """The tables of this process's platform.

    Raises:
        PlatformError: the platform lacks something.
    """
    match settings.platform:
        case Platform.EMBEDDED:
            return DuckDBWarehouse(path=str(settings.warehouse_path))
        case Platform.GCP:
            require_google()
            assert settings.gcp_project is not None  # the settings promise it
            return BigQueryWarehouse(project=settings.gcp_project, location=settings.gcp_location)
        case unknown:
            assert_never(unknown)


def artifacts_of(settings: PlatformSettings) -> ArtifactStore:
    """Trained things of this process's platform."""
    root = settings.in_bucket("artifacts") or str(settings.artifacts_path)
    return ArtifactStore(root=root, cache=str(settings.home / "cache" / "artifacts"))


def _releases(settings: PlatformSettings) -> ReleaseStore:
    # By name, as the log's address below: it may hold a password.
    by_name = {"tracking_uri": dg.EnvVar("AISLE_MLFLOW_TRACKING_URI")} if settings.mlflow_tracking_uri else {}
    return ReleaseStore(**{**ReleaseStore.of(settings).model_dump(), **by_name})


def _source(settings: PlatformSettings) -> SourceResource:
    return SourceResource(
        name=settings.source.value,
        mapping=str(settings.mapping.absolute()) if settings.mapping else None,
        data_dir=str(settings.data_dir.absolute()) if settings.data_dir else None,
        shop_size=settings.shop_size,
        shop_seed=settings.shop_seed,
        opened_on=calendar_of(settings, now=utc_now()).first_day.isoformat(),
        drift_from=settings.drift_from.isoformat() if settings.drift_from else None,
        # By name where it may hold a password: what a resource is configured with stands in the UI.
        feedback=dg.EnvVar("AISLE_FEEDBACK_URL") if settings.feedback_url else f"sqlite:///{settings.home}/feedback.db",
    )
