"""How many bytes a day's run would scan in BigQuery, from the rows a home's DuckDB really holds.

    python -m benchmarks.warehouse_bytes .aisle-scale/1000000/home

BigQuery bills the bytes of the columns a query names, whole partitions of them. Counted here, by the sizes its documentation gives each type:
each model reads every column of what it selects from (views count as what they stand on), and each test its column, else the row. What is
partitioned by day is read over the run's window. So the sum is an upper bound for columns, and exact for rows. Nothing is run on BigQuery.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

FIXED_BYTES = {"BIGINT": 8, "INTEGER": 8, "DOUBLE": 8, "BOOLEAN": 1, "DATE": 8, "TIMESTAMP": 8}
"""https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes; a string has 2 + its UTF-8 bytes, null none."""
WINDOW_DAYS = 4
"""Of a daily run: its day, and three before it for late rows."""


@dataclass(frozen=True)
class Home:
    """A warehouse and the manifest of the dbt project that built it."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "dbt" / "manifest.json").read_text())
        return read

    @cached_property
    def columns(self) -> dict[str, dict[str, int]]:
        """Bytes of each column of each table, by `schema.table`."""
        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            found = connection.execute(
                "select table_schema, table_name, column_name, data_type from information_schema.columns "
                "join information_schema.tables using (table_schema, table_name) where table_type = 'BASE TABLE'"
            ).fetchall()
            sizes: dict[str, dict[str, int]] = {}
            for schema, table, column, kind in found:
                fixed = FIXED_BYTES.get(kind.split(" ")[0], 8)
                of_one = f'2 + strlen("{column}")' if kind == "VARCHAR" else str(fixed)
                sql = (
                    f'select coalesce(sum(case when "{column}" is not null then {of_one} end), 0) from {schema}.{table}'
                )
                [[size]] = connection.execute(sql).fetchall()
                sizes.setdefault(f"{schema}.{table}", {})[column] = int(size)
        return sizes

    @cached_property
    def days(self) -> int:
        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            [[days]] = connection.execute("select count(distinct landed_on) from raw.interactions").fetchall()
        return int(days)

    def tables_under(self, node_id: str) -> list[str]:
        """The tables a query of this node reads: itself, or what its view stands on."""
        if node_id.startswith("source."):
            source = self.manifest["sources"][node_id]
            return [f"{source['schema']}.{source['name']}"]
        node = self.manifest["nodes"][node_id]
        name = f"{node['schema']}.{node['name']}"
        if name in self.columns:
            return [name]
        return [table for parent in node["depends_on"]["nodes"] for table in self.tables_under(parent)]

    def scanned(self) -> dict[str, float]:
        """Bytes a day's run reads, by what reads them."""
        share = min(WINDOW_DAYS / self.days, 1.0)
        sums = {"daily models": 0.0, "whole models": 0.0, "tests": 0.0}
        for node in self.manifest["nodes"].values():
            tables = [table for parent in node["depends_on"]["nodes"] for table in self.tables_under(parent)]
            if node["resource_type"] == "model" and f"{node['schema']}.{node['name']}" in self.columns:
                daily = "daily" in node["tags"]
                sums["daily models" if daily else "whole models"] += self._bytes(tables) * (share if daily else 1)
            elif node["resource_type"] == "test":
                sums["tests"] += self._bytes(tables, column=node.get("column_name"))
        sums["training snapshot"] = self._bytes(
            [f"marts.{name}" for name in ("fct_interactions", "dim_items", "dim_users", "feat_items", "feat_users")]
        )
        return sums

    def stored(self) -> float:
        """Bytes of all tables."""
        return float(sum(sum(columns.values()) for columns in self.columns.values()))

    def _bytes(self, tables: list[str], *, column: str | None = None) -> float:
        return float(
            sum(
                size
                for table in set(tables)
                for name, size in self.columns.get(table, {}).items()
                if column is None or name == column
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("homes", nargs="+", type=Path)
    for folder in parser.parse_args().homes:
        home = Home(folder)
        parts = {name: f"{size / 1e6:,.1f}" for name, size in home.scanned().items()}
        total = sum(home.scanned().values())
        print(f"{folder}: MB scanned in a day {total / 1e6:,.1f} {parts}, MB stored {home.stored() / 1e6:,.1f}")


if __name__ == "__main__":
    main()
