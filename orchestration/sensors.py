"""Alarms: what runs because of something that was seen."""

from datetime import timedelta

import dagster as dg

from ml.drift import SIGNIFICANT
from orchestration.assets.monitoring import FEATURE_DRIFT
from orchestration.jobs import RETRAIN_TAG, retrain
from orchestration.settings import utc_now

COOL_DOWN = timedelta(hours=6)
"""No alarm starts a training while one that began this recently may still be settling."""


@dg.asset_sensor(
    asset_key=FEATURE_DRIFT,
    job=retrain,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Retrains when a drift report shows PSI above {SIGNIFICANT}, once per report, not within the cool-down.",
)
def on_drift_alarm(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry) -> dg.RunRequest | dg.SkipReason:
    report = asset_event.asset_materialization
    if report is None or "psi_max" not in report.metadata:
        return dg.SkipReason(f"The newest event of {FEATURE_DRIFT.to_user_string()} holds no psi_max.")
    psi = float(report.metadata["psi_max"].value)  # type: ignore[arg-type]  # our own report writes a float
    if psi <= SIGNIFICANT:
        return dg.SkipReason(f"Largest PSI is {psi:.3f}, at or below {SIGNIFICANT}.")
    if _trained_lately(context.instance):
        return dg.SkipReason(f"Largest PSI is {psi:.3f}, but a training began within the last {COOL_DOWN}.")
    return dg.RunRequest(
        run_key=f"drift-{asset_event.run_id}", tags={"aisle/trigger": "drift", "aisle/psi_max": f"{psi:.3f}"}
    )


def _trained_lately(instance: dg.DagsterInstance) -> bool:
    began_lately = dg.RunsFilter(tags={RETRAIN_TAG: "true"}, created_after=utc_now() - COOL_DOWN)
    return bool(instance.get_run_records(began_lately, limit=1))


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says in the daemon's log which run failed and why.",
)
def on_run_failure(context: dg.RunFailureSensorContext) -> None:
    context.log.error(
        "Run %s of %s failed: %s",
        context.dagster_run.run_id,
        context.dagster_run.job_name,
        context.failure_event.message,
    )
