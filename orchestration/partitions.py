"""The days of this home's shop, as Dagster partitions."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from orchestration.calendar import calendar_of
from orchestration.settings import PlatformSettings, utc_now

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Tags of a run over several days at once."""

_now = utc_now()
calendar = calendar_of(PlatformSettings(), now=_now)

daily = dg.DailyPartitionsDefinition(
    start_date=calendar.first_day.isoformat(),
    # Dagster's end is the first day that is not in; without one, a new day joins each midnight.
    end_date=(calendar.last_day + timedelta(days=1)).isoformat() if calendar.last_day else None,
)
"""A partition holds the rows that *arrived* that day, not those that happened then."""


def last_day_of(context: dg.AssetExecutionContext) -> date:
    """The newest day of this run: of its partition or range; of a run without one, the shop's last complete day."""
    tags = context.run.tags
    named = tags.get(RANGE_END) or tags.get("dagster/partition")
    return date.fromisoformat(named) if named else calendar.until(utc_now())


def cut_of(context: dg.AssetExecutionContext) -> datetime:
    """T: the midnight after the run's last day, UTC without a zone, as tables hold instants."""
    return datetime.combine(last_day_of(context) + timedelta(days=1), datetime.min.time(), UTC).replace(tzinfo=None)
