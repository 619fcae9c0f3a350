"""Stations 2 and 3: the dbt project as assets. dbt tests are their checks; a failed one of severity error stops the run."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from orchestration.automation import when_data_of
from orchestration.partitions import cut_of, daily
from orchestration.resources.dbt import Dbt, FeatureCuts, project_of
from orchestration.settings import PlatformSettings

FOLLOWS = {
    "stg_shop__items": ["raw", "items"],
    "dim_items": ["staging", "stg_shop__items"],
}
"""Models that follow the catalogue between two daily runs, so that a new item is known within minutes."""


class WarehouseTranslator(DagsterDbtTranslator):  # type: ignore[misc]  # dagster_dbt is untyped to mypy here
    """Keys `staging|intermediate|marts/<model>` and, of a source, `raw/<table>`."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - dagster_dbt's signature
        return "warehouse"

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 - dagster_dbt's signature
        return ["team:data"]

    def get_automation_condition(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> dg.AutomationCondition[dg.AssetKey] | None:
        followed = FOLLOWS.get(dbt_resource_props["name"])
        return when_data_of(followed) if followed and dbt_resource_props["resource_type"] == "model" else None


project = project_of(PlatformSettings())
_translator = WarehouseTranslator(
    DagsterDbtTranslatorSettings(
        enable_code_references=True, enable_dbt_selection_by_name=True, enable_source_tests_as_checks=True
    )
)


@dbt_assets(  # type: ignore[untyped-decorator]
    manifest=project.manifest_path,
    project=project,
    dagster_dbt_translator=_translator,
    name="event_models",
    select="tag:daily",
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
)
def event_models(context: dg.AssetExecutionContext, dbt: Dbt) -> Iterator[Any]:
    """Events, judged and summed, one landed day or a range of them at a time. The staging views are here too: between two
    partitioned assets an unpartitioned one silently breaks a backfill."""
    window = context.partition_time_window
    variables = {
        "start_date": window.start.date().isoformat(),
        "end_date": (window.end - timedelta(days=1)).date().isoformat(),
        "as_of": cut_of(context).date().isoformat(),
    }
    yield from dbt.build(context, variables)


@dbt_assets(  # type: ignore[untyped-decorator]
    manifest=project.manifest_path,
    project=project,
    dagster_dbt_translator=_translator,
    name="feature_models",
    select="tag:whole",
    pool="warehouse",
)
def feature_models(context: dg.AssetExecutionContext, dbt: Dbt, feature_cuts: FeatureCuts) -> Iterator[Any]:
    """Items, users and their features at every cut, whole tables each time."""
    cuts = feature_cuts.until(cut_of(context))
    yield from dbt.build(context, {"cuts": [cut.isoformat() for cut in cuts], "as_of": cuts[0].isoformat()})
