"""A graph with the real keys, groups, partitions and automation, whose assets do nothing but note that they ran."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg

from orchestration.automation import EVERY_TEN_MINUTES, FOLLOW_GOOD_INPUTS, when_data_of

DAYS = dg.DailyPartitionsDefinition(start_date="2026-08-01", end_date="2026-10-01")


@dataclass
class StubShop:
    """What the stub assets find, and what they did."""

    items_version: str = "v1"
    psi_max: float = 0.05
    catalogue_is_whole: bool = True
    champion_is_beaten: bool = True
    fails: str | None = None
    ran: list[str] = field(default_factory=list)
    windows: dict[str, tuple[str, str]] = field(default_factory=dict)

    def run(self, name: str) -> None:
        if self.fails == name:
            raise RuntimeError(f"{name} was told to fail")
        self.ran.append(name)


def _stub(shop: StubShop, name: str, *deps: str, group: str, automation: object = None) -> dg.AssetsDefinition:
    @dg.asset(
        key=name.split("/"),
        deps=[dg.AssetKey(dep.split("/")) for dep in deps],
        group_name=group,
        automation_condition=automation,  # type: ignore[arg-type]
    )
    def stub() -> None:
        shop.run(name)

    return stub


def _daily_stub(shop: StubShop, name: str, *deps: str, group: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=name.split("/"),
        deps=[dg.AssetKey(dep.split("/")) for dep in deps],
        group_name=group,
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def stub(context: dg.AssetExecutionContext) -> None:
        start, end = context.partition_time_window
        shop.windows[name] = (start.date().isoformat(), end.date().isoformat())
        shop.run(name)

    return stub


def stub_assets(shop: StubShop) -> list[dg.AssetsDefinition]:
    @dg.asset(key=["raw", "items"], group_name="ingest", automation_condition=EVERY_TEN_MINUTES)
    def items() -> dg.MaterializeResult[None]:
        shop.run("raw/items")
        return dg.MaterializeResult(data_version=dg.DataVersion(shop.items_version))

    @dg.asset(key=["monitoring", "feature_drift"], deps=[["marts", "fct_interactions"]], group_name="monitoring")
    def feature_drift() -> dg.MaterializeResult[None]:
        shop.run("monitoring/feature_drift")
        return dg.MaterializeResult(metadata={"psi_max": shop.psi_max})

    @dg.asset(
        key=["ml", "released_bundle"], deps=[["ml", "offline_report"]], group_name="release", output_required=False
    )
    def released_bundle() -> Iterator[dg.MaterializeResult[None]]:
        shop.run("ml/released_bundle")
        if shop.champion_is_beaten:
            yield dg.MaterializeResult()

    return [
        items,
        _daily_stub(shop, "raw/interactions", group="ingest"),
        _daily_stub(shop, "raw/impressions", group="ingest"),
        _stub(shop, "raw/users", group="ingest"),
        _daily_stub(shop, "staging/stg_shop__interactions", "raw/interactions", group="warehouse"),
        _daily_stub(shop, "marts/fct_interactions", "staging/stg_shop__interactions", group="warehouse"),
        _stub(
            shop, "staging/stg_shop__items", "raw/items", group="warehouse", automation=when_data_of(["raw", "items"])
        ),
        _stub(
            shop,
            "marts/dim_items",
            "staging/stg_shop__items",
            "marts/fct_interactions",
            group="warehouse",
            automation=when_data_of(["staging", "stg_shop__items"]),
        ),
        _stub(shop, "marts/dim_users", "raw/users", group="warehouse"),
        _stub(shop, "ml/training_examples", "marts/fct_interactions", "marts/dim_items", group="training"),
        _stub(shop, "ml/retriever", "ml/training_examples", group="training"),
        _stub(
            shop, "ml/item_vectors", "ml/retriever", "marts/dim_items", group="training", automation=FOLLOW_GOOD_INPUTS
        ),
        _stub(shop, "ml/ann_index", "ml/item_vectors", group="training", automation=FOLLOW_GOOD_INPUTS),
        _stub(shop, "ml/candidate_sources", "ml/training_examples", group="training"),
        _stub(shop, "ml/ranker", "ml/candidate_sources", "ml/ann_index", group="training"),
        _stub(shop, "ml/candidate_bundle", "ml/ranker", group="release"),
        _stub(shop, "ml/offline_report", "ml/candidate_bundle", group="release"),
        released_bundle,
        feature_drift,
        _stub(shop, "ml/best_recipe", "ml/training_examples", group="experiments"),
        _stub(shop, "ml/experiment_comparison", "ml/training_examples", group="experiments"),
    ]
