"""Whether two tables say the same, whichever engines they come from."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

DECIMALS = 6
"""Floats are compared to so many: engines add in orders of their own, which shows from the 12th or so."""

MODULUS = 1 << 128
HISTORY = ("dbt_valid_from", "dbt_valid_to", "dbt_updated_at")


@dataclass(frozen=True)
class Digest:
    """Of a table: its rows counted and hashed as a multiset, whole and by column. The order of rows plays no part."""

    num_rows: int
    rows: int
    columns: Mapping[str, int]

    @classmethod
    def of(cls, table: pa.Table) -> "Digest":
        columns = {name: [canonical(value) for value in table[name].to_pylist()] for name in table.column_names}
        return cls(
            num_rows=table.num_rows,
            rows=_multiset("\x1f".join(row) for row in zip(*columns.values(), strict=True)),
            columns={name: _multiset(values) for name, values in columns.items()},
        )

    def differences(self, other: "Digest") -> list[str]:
        """What is not the same, in words; empty where everything is."""
        if list(self.columns) != list(other.columns):
            return [f"columns {list(self.columns)} and {list(other.columns)}"]
        if self.num_rows != other.num_rows:
            return [f"{self.num_rows} and {other.num_rows} rows"]
        found = [f"column {name}" for name in self.columns if self.columns[name] != other.columns[name]]
        return found or (["values stand in other rows"] if self.rows != other.rows else [])


def canonical(value: Any) -> str:
    """One text for one value: floats to `DECIMALS`, instants in UTC to the microsecond, whole numbers of any width alike.

    >>> canonical(0.1 + 0.2) == canonical(0.3), canonical(-0.0) == canonical(0.0), canonical(None) == canonical("None")
    (True, True, False)
    """
    if isinstance(value, float):
        return f"float {round(value, DECIMALS) + 0.0:.{DECIMALS}f}"
    if hasattr(value, "hour"):
        return f"instant {value.replace(tzinfo=None).isoformat(timespec='microseconds')}"
    if isinstance(value, Decimal):  # DuckDB's sum of whole numbers
        return f"int {int(value)}" if value == int(value) else canonical(float(value))
    return f"{type(value).__name__} {value}"


def versions(history: pa.Table) -> pa.Table:
    """A dbt snapshot with the instants of its runs replaced by the number of the run: engines do not run at the same moment."""
    instants = sorted({at for name in HISTORY for at in history[name].to_pylist() if at is not None})
    run_of = {at: number for number, at in enumerate(instants)} | {None: None}
    for name in HISTORY:
        runs = pa.array([run_of[at] for at in history[name].to_pylist()], pa.int64())
        history = history.set_column(history.column_names.index(name), name, runs)
    return history.drop_columns("dbt_scd_id")  # a hash of item and instant


def _multiset(texts: Iterable[str]) -> int:
    return sum(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]) for text in texts) % MODULUS
