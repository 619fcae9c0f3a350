"""On which day a row of the shop's own table counts as landed, said so that BigQuery reads no more than the days asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ml.contract.errors import MappingError
from orchestration.sources.rules import ColumnRef
from orchestration.sources.sql_bigquery import BIGQUERY
from orchestration.sources.user_table import INGESTION_TIME, UserTable


@dataclass(frozen=True)
class Branch:
    """Some rows of a table, and the day they landed on; both SQL."""

    day: str
    rows: str


@dataclass(frozen=True)
class Arrival:
    """All rows of the mapping's days, in branches that have no row in common."""

    branches: tuple[Branch, ...]
    warning: str | None = None
    """Why the run of a day reads more than that day."""


@dataclass(frozen=True)
class Days:
    """The days of a mapping. Rows of other days are not declared: they would make one day of ours out of years of theirs."""

    first: date
    last: date | None

    def hold(self, day: str) -> str:
        until = f" and {day} <= date '{self.last}'" if self.last else ""
        return f"{day} >= date '{self.first}'{until}"

    def bound(self, column: str, type_name: str) -> str:
        """The same of a column as it is, without a function around it: that is what BigQuery prunes by."""
        kind, midnight = type_name.lower(), "" if type_name == "DATE" else " 00:00:00"
        zone = "+00:00" if type_name == "TIMESTAMP" else ""
        until = f" and {column} < {kind} '{self.last + timedelta(days=1)}{midnight}{zone}'" if self.last else ""
        return f"{column} >= {kind} '{self.first}{midnight}{zone}'{until}"


def arrival_of(table: UserTable, days: Days, *, landed_on: str | None, instants: Sequence[ColumnRef]) -> Arrival:
    """By the column the mapping names, else by the first of the instants a row has. A row that has none landed on the first day.

    Raises:
        MappingError: the table wants every query to bound its partition column, and the day comes from another one.
    """
    moments = [BIGQUERY.instant(ref, table.type_of(ref.column), table.mapped) for ref in instants]
    if landed_on is not None:
        table.require_day(landed_on)
        column, others, is_its_day = landed_on, [], True
        moments = [_native_instant(table, landed_on)]
    else:
        column, others = instants[0].column, moments[1:]
        is_its_day = table.type_of(column) == "TIMESTAMP" or table.mapped.timezone == "UTC"
    if is_its_day and table.is_cut_by(column):
        return Arrival(_by_partition(table, column, days, others))
    return Arrival((_computed(days, moments),), warning=_warning(table, column))


def _by_partition(table: UserTable, column: str, days: Days, others: list[str]) -> tuple[Branch, ...]:
    name, kind = BIGQUERY.name(column), table.type_of(column)
    known = Branch(name if kind == "DATE" else f"date({name})", days.bound(name, kind))
    if column.upper() in INGESTION_TIME:
        # Without a partition a row is still in the streaming buffer: it lands when it has one.
        return (known,)
    # A partition of its own, read for itself alone.
    if not others:
        return known, Branch(f"date '{days.first}'", f"{name} is null")
    unknown = _computed(days, others)
    return known, Branch(unknown.day, f"{name} is null and {unknown.rows}")


def _computed(days: Days, moments: list[str]) -> Branch:
    first = f"date '{days.first}'"
    day = f"date(coalesce({', '.join(moments)}))" if len(moments) > 1 else f"date({moments[0]})"
    return Branch(f"coalesce({day}, {first})", f"({day} is null or {days.hold(day)})")


def _native_instant(table: UserTable, column: str) -> str:
    """A column as a moment of its own day: what has no zone is not moved into one."""
    name = BIGQUERY.name(column)
    return name if table.type_of(column) == "TIMESTAMP" else f"timestamp({name})"


def _warning(table: UserTable, column: str) -> str | None:
    found = f"{table.address} is partitioned by {table.partition or 'nothing'}, and the day a row landed comes from {column}."
    if table.needs_filter:
        raise MappingError(
            f"{found} Expected: both the same, since the table wants every query to bound {table.partition}. "
            f"Set `landed_on: {table.partition}` in the mapping."
        )
    if table.kind != "TABLE":
        return f"{table.address} is a {table.kind}: whether a day's run reads more than a day is up to it."
    remedy = f"Set `landed_on: {table.partition}`" if table.partition else f"Partition it by {column}"
    return f"{found} Each run reads the whole table. {remedy}, if that is when rows arrive."
