"""Cadence: what runs because of the clock."""

from datetime import UTC

import dagster as dg

from orchestration.jobs import check_drift, train_and_release
from orchestration.settings import yesterday


@dg.schedule(
    job=train_and_release,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The day that ended four hours ago: late rows have had time to arrive.",
)
def train_and_release_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    day = yesterday(context.scheduled_execution_time.astimezone(UTC)).isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)


check_drift_hourly = dg.ScheduleDefinition(
    name="check_drift_hourly",
    job=check_drift,
    cron_schedule="15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At a quarter past, so that it never starts together with the daily run.",
)

SCHEDULES = [train_and_release_daily, check_drift_hourly]
