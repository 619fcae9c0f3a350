"""A handful of raw rows, and the dbt project over them: on DuckDB here, on BigQuery in bigquery.py."""

import json
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import mock

import duckdb
import pyarrow as pa

from ml.contract.columns import (
    RAW_IMPRESSIONS,
    RAW_INTERACTIONS,
    RAW_ITEM_EMBEDDINGS,
    RAW_ITEM_IMAGE_EMBEDDINGS,
    RAW_ITEM_TEXT_EMBEDDINGS,
    RAW_ITEMS,
    RAW_USERS,
)

PROJECT = Path(__file__).parents[2] / "dbt_project"
KEY = "the tests' own key"
FIRST_DAY = date(2024, 5, 1)
MAX_EVENTS_PER_DAY = 12
"""Lower than the real one, so that a bot takes few rows."""

CUTS = ["2024-05-05", "2024-05-08", "2024-05-10"]

Row = dict[str, Any]

CATALOGUE: list[Row] = [
    {"item_id": " i1", "title": " A  mug ", "category": "kitchen", "created_at": datetime(2024, 1, 1)},
    {"item_id": "i1", "title": "A mug, misspelt", "category": "kitchn", "created_at": datetime(2023, 1, 1)},
    {"item_id": "i2", "title": "A hat", "category": "", "price": -1.0, "is_active": False, "stock": 0},
    {"item_id": "unseen", "title": "Never sold", "created_at": datetime(2024, 1, 1)},
]


def event(user: str | None, item: str | None, at: datetime | None, event_type: str = "view", **more: Any) -> Row:
    """A raw interaction that landed when it happened, unless `more` says otherwise."""
    row: Row = {"user_id": user, "item_id": item, "event_type": event_type, "occurred_at": at, **more}
    if "landed_on" not in row:
        landed = row.get("received_at") or at
        row["landed_on"] = landed.date() if landed else FIRST_DAY
    return row


def a_shop(*, days: int = 9, seed: int = 1) -> list[Row]:
    """A few people over a few days, with every kind of dirt and with rows that arrive days late."""
    dice = random.Random(seed)
    rows: list[Row] = []
    for day in range(days):
        midnight = datetime.combine(FIRST_DAY, datetime.min.time()) + timedelta(days=day)
        for n in range(30):
            at = midnight + timedelta(seconds=dice.randrange(86_400))
            row = event(
                f"u{dice.randrange(6)}",
                f"i{dice.randrange(8)}",
                at,
                dice.choice(["view", "view", "view", "cart_add", "purchase", "purchase", "return"]),
                price=float(dice.randrange(1, 9)),
                order_id=dice.choice([None, f"o{day}"]),
                event_id=dice.choice([None, f"e{day}-{n}"]),
            )
            if dice.random() < 0.15 and day + 1 < days:
                received = min(at + timedelta(days=dice.choice([1, 2, 6])), midnight + timedelta(days=days - 1 - day))
                row |= {"received_at": received, "landed_on": received.date()} if received > at else {}
            rows.append(row)
        again = dict(dice.choice(rows))
        rows.append(again | {"landed_on": midnight.date(), "received_at": midnight + timedelta(hours=23, minutes=59)})
        bot = midnight + timedelta(hours=1)
        rows += [
            event("robot", "i1", bot + timedelta(minutes=m)) for m in range(MAX_EVENTS_PER_DAY + 1) if day % 4 == 2
        ]
        rows.append(event(None, "i1", bot))
        rows.append(event("u1", "i1", bot, "teleport"))
        rows.append(event("u1", "i1", bot + timedelta(days=9), landed_on=midnight.date()))
    for source_row, row in enumerate(rows):
        row["source_row"] = source_row
    return rows


@cache
def _parsed() -> Any:
    from dbt.cli.main import dbtRunner

    with (
        TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"AISLE_HOME": folder, "AISLE_PSEUDONYM_KEY": KEY}),
    ):
        places = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", folder, "--log-path", folder]
        return dbtRunner().invoke(["parse", "--quiet", "--log-level-file", "none", *map(str, places)]).result


RAW = {
    "interactions": RAW_INTERACTIONS,
    "impressions": RAW_IMPRESSIONS,
    "items": RAW_ITEMS,
    "item_embeddings": RAW_ITEM_EMBEDDINGS,
    "item_text_embeddings": RAW_ITEM_TEXT_EMBEDDINGS,
    "item_image_embeddings": RAW_ITEM_IMAGE_EMBEDDINGS,
    "users": RAW_USERS,
}


@dataclass(frozen=True)
class DbtHome:
    """One home folder with its own DuckDB file."""

    path: Path
    project: Path = PROJECT
    target: ClassVar[str] = "duckdb"

    def land(
        self,
        interactions: Iterable[Row],
        *,
        items: Iterable[Row] = (),
        item_embeddings: Iterable[Row] = (),
        item_text_embeddings: Iterable[Row] = (),
        item_image_embeddings: Iterable[Row] = (),
        users: Iterable[Row] = (),
        impressions: Iterable[Row] = (),
    ) -> None:
        """Replace the raw tables by these rows."""
        rows = {
            "interactions": interactions,
            "impressions": impressions,
            "items": items,
            "item_embeddings": item_embeddings,
            "item_text_embeddings": item_text_embeddings,
            "item_image_embeddings": item_image_embeddings,
            "users": users,
        }
        self.replace_raw({name: pa.Table.from_pylist(list(rows[name]), RAW[name]) for name in RAW})

    def replace_raw(self, tables: Mapping[str, pa.Table]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute("create schema if not exists raw").fetchall()
            for name, table in tables.items():
                connection.register("rows", table)
                connection.execute(f"create or replace table raw.{name} as from rows").fetchall()
                connection.unregister("rows")

    def dbt(self, command: str, *args: str, **variables: Any) -> "DbtResult":
        """Run one dbt command in this process and let go of the warehouse."""
        from dbt.cli.main import dbtRunner

        variables = {"max_events_per_day": MAX_EVENTS_PER_DAY, **variables}
        folders = ["--project-dir", self.project, "--profiles-dir", self.project]
        files = ["--target-path", self.path / "target", "--log-path", self.path / "logs", "--log-level-file", "none"]
        options = ["--target", self.target, "--vars", json.dumps(variables), "--quiet", *folders, *files]
        with mock.patch.dict(os.environ, {"AISLE_PSEUDONYM_KEY": KEY, **self.environment()}):
            answer = dbtRunner(manifest=self.manifest()).invoke([command, *args, *map(str, options)])
        self.let_go()
        if answer.exception is not None:
            raise answer.exception
        nodes = getattr(answer.result, "results", [])
        return DbtResult(
            status={node.node.name: str(node.status) for node in nodes},
            messages={node.node.name: node.message or "" for node in nodes},
        )

    def environment(self) -> Mapping[str, str]:
        return {"AISLE_HOME": str(self.path)}

    def manifest(self) -> Any:
        """The project parsed once serves every command: on DuckDB its variables are read when a command runs."""
        return _parsed() if self.project == PROJECT else None

    def let_go(self) -> None:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()

    def build(self, *args: str, **variables: Any) -> "DbtResult":
        """Build and test, without the unit tests."""
        return self.dbt("build", "--exclude-resource-type", "unit_test", *args, **variables)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse)) as connection:
            return connection.execute(sql).fetchall()

    def table(self, sql: str) -> pa.Table:
        with duckdb.connect(str(self.warehouse)) as connection:
            return connection.sql(sql).to_arrow_table()

    def execute(self, sql: str) -> None:
        self.rows(sql)

    @property
    def warehouse(self) -> Path:
        return self.path / "warehouse.duckdb"


@dataclass(frozen=True)
class DbtResult:
    """What became of each node, by name."""

    status: Mapping[str, str]
    messages: Mapping[str, str]

    @property
    def failed(self) -> set[str]:
        return {name for name, status in self.status.items() if status in ("fail", "error")}
