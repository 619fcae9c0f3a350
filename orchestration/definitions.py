"""The whole graph on one page. Order of the list = order of the path; group and prefix once per station."""

import dagster as dg

from orchestration.assets import experiments, ingest, monitoring, release, training, warehouse
from orchestration.automation import follow_changes
from orchestration.checks import data_checks, feedback_checks, model_checks
from orchestration.jobs import JOBS, PODS
from orchestration.resources import resources_for
from orchestration.schedules import SCHEDULES
from orchestration.sensors import on_drift_alarm, on_run_failure
from orchestration.settings import PlatformSettings

defs = dg.Definitions(
    assets=[
        *dg.load_assets_from_modules([ingest], group_name="ingest", key_prefix="raw"),
        warehouse.event_models,
        warehouse.feature_models,
        # One call for what leans on each other: inputs named after an asset are found only among those that get the prefix with it.
        *dg.load_assets_from_modules([training, release, experiments], key_prefix="ml"),
        *dg.load_assets_from_modules([monitoring], group_name="monitoring", key_prefix="monitoring"),
    ],
    asset_checks=dg.load_asset_checks_from_modules([data_checks, feedback_checks, model_checks]),
    resources=resources_for(PlatformSettings()),
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=[on_drift_alarm, on_run_failure, follow_changes],
    executor=PODS.executor_definition(),
)
