"""Beside the path: whether the live model still sees the shop it learned from."""

from collections.abc import Iterator
from datetime import datetime

import dagster as dg
import pyarrow as pa

from ml.contract.columns import DIM_ITEMS, FCT_INTERACTIONS
from ml.drift import SIGNIFICANT, WEEK, DriftReport, DriftSnapshot, drift_report, window_frame, write_html
from orchestration.partitions import cut_of
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.resources.warehouse import Warehouse

CHECK = "features_have_not_drifted"
FEATURE_DRIFT = dg.AssetKey(["monitoring", "feature_drift"])
"""Its key in the graph: the prefix comes with loading the module, to the asset and to its check alike."""


@dg.asset(
    deps=[dg.AssetKey(["marts", "fct_interactions"]), dg.AssetKey(["marts", "dim_items"])],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset="feature_drift", description=f"No watched feature has moved further than PSI {SIGNIFICANT}."
        )
    ],
    output_required=False,
    pool="warehouse",
    kinds={"evidently"},
    owners=["team:ml"],
)
def feature_drift(
    context: dg.AssetExecutionContext, warehouse: Warehouse, releases: ReleaseStore, reports: ReportFolder
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """How far the events of the last seven days are from those the champion learned from: PSI per watched feature, on the
    decile edges frozen in its bundle, so that a number can be recomputed later. One report per run; nothing before the first
    release. The page is Evidently's and shows the same numbers.
    """
    champion = releases.live_bundle()
    if champion is None:
        yield dg.AssetCheckResult(
            check_name=CHECK, passed=True, metadata={"champion": "none yet, so there is nothing to drift away from"}
        )
        return
    until = cut_of(context)
    snapshot = DriftSnapshot.load(champion)
    window = window_frame(*live_tables(warehouse, until - WEEK, until), ends_at=until)
    report = drift_report(snapshot.reference, window)
    page = reports.page("feature_drift", context.run_id)
    write_html(page, report, snapshot.reference, sample=snapshot.sample, window=window)
    yield result_of(report, champion=champion.name, until=until, page=reports.shown(page))


def live_tables(warehouse: Warehouse, start: datetime, end: datetime) -> tuple[pa.Table, pa.Table]:
    """Events of [start, end), and the catalogue."""
    columns = ", ".join(FCT_INTERACTIONS.names)
    # Nothing lands before it happens: the bound on the partition column leaves older partitions unread.
    events = warehouse.query(
        f"select {columns} from marts.fct_interactions where occurred_at >= ? and occurred_at < ? and landed_on >= ?",
        [start, end, start.date()],
    )
    return events, warehouse.query(f"select {', '.join(DIM_ITEMS.names)} from marts.dim_items")


def result_of(
    report: DriftReport, *, champion: str, until: datetime, page: dg.MetadataValue
) -> dg.MaterializeResult[None]:
    """One point of each time series, and the verdict at the threshold."""
    numbers = {"psi_max": report.largest, **{f"psi/{name}": value for name, value in report.psi.items()}}
    passed = dg.AssetCheckResult(
        check_name=CHECK,
        passed=not report.drifted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "psi_max": report.largest,
            "threshold": SIGNIFICANT,
            "drifted": ", ".join(report.drifted) or "none",
        },
    )
    return dg.MaterializeResult(
        metadata={
            **numbers,
            "champion": champion,
            "live_window_ends_at": until.isoformat(),
            "live_rows": report.num_rows,
            "page": page,
        },
        check_results=[passed],
    )
