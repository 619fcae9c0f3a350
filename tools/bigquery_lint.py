"""Reads the SQL that dbt wrote for BigQuery with Google's own analyser, on this machine and without an account.

    python tools/bigquery_lint.py FOLDER         what a test run kept: KEEP_SQL_IN=FOLDER pytest tests/dbt/test_bigquery.py
    python tools/bigquery_lint.py --self-test    whether the analyser refuses what BigQuery refuses

DuckDB, behind the tests' local server, compares a number with a string or an instant with a day without a word; BigQuery does not.
`make lint-bigquery` does all of it. The analyser has an environment of its own, requirements/zetasql.txt: it needs a protobuf that
nothing else here takes yet. It is newer than BigQuery in places (it lets `||` join a string and a number): what it refuses is wrong,
what it accepts is not proven.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zetasql.api import CatalogBuilder, TableBuilder, TypeFactory
from zetasql.core.local_service import ZetaSqlLocalService
from zetasql.types import (
    AnalyzerOptions,
    LanguageOptions,
    ParseResumeLocation,
    ProductMode,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)

TYPES = {
    "STRING": TypeKind.TYPE_STRING,
    "INTEGER": TypeKind.TYPE_INT64,
    "FLOAT": TypeKind.TYPE_DOUBLE,
    "BOOLEAN": TypeKind.TYPE_BOOL,
    "DATE": TypeKind.TYPE_DATE,
    "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
    "ARRAY<FLOAT>": TypeFactory.create_array_type(TypeFactory.create_simple_type(TypeKind.TYPE_DOUBLE)),
}
"""Of raw columns, by the names BigQuery's REST interface gives them."""

SNAPSHOT_COLUMNS = {
    "dbt_scd_id": TypeKind.TYPE_STRING,
    "dbt_updated_at": TypeKind.TYPE_TIMESTAMP,
    "dbt_valid_from": TypeKind.TYPE_TIMESTAMP,
    "dbt_valid_to": TypeKind.TYPE_TIMESTAMP,
}
QUALIFIED = re.compile(r"`([\w-]+)`\.`(\w+)`\.`(\w+)`")
TEMPORARY = re.compile(r"__dbt_tmp\d+")

Columns = Mapping[str, Any]

SHOP: dict[str, Columns] = {
    "p.marts.t": {
        "n": TypeKind.TYPE_INT64,
        "s": TypeKind.TYPE_STRING,
        "d": TypeKind.TYPE_DATE,
        "seen_at": TypeKind.TYPE_TIMESTAMP,
        "x": TypeKind.TYPE_DOUBLE,
    }
}
RIGHT = (
    "select n, safe_cast(s as float64) as f, date_add(d, interval 1 day) as next_day from `p`.`marts`.`t`",
    "select s, row_number() over (partition by s order by seen_at desc) as place from `p`.`marts`.`t` where d >= date '2024-05-01'",
    "merge into `p`.`marts`.`t` as t using (select * from `p`.`marts`.`t`) as u on false "
    "when not matched by source and t.d in (date '2024-05-01') then delete when not matched then insert row",
    "create or replace table `p`.`marts`.`u` (n int64, d date) partition by d as (select n, d from `p`.`marts`.`t`)",
)
WRONG = (
    "select cast(source as string) as a from (select s as source from `p`.`marts`.`t`) as source",
    "select 1 = '1' as a from `p`.`marts`.`t`",
    "select seen_at > d as a from `p`.`marts`.`t`",
    "select a.n from `p`.`marts`.`t` as a inner join `p`.`marts`.`t` as b on a.s = b.n",
    "select n::string as a from `p`.`marts`.`t`",
    "select count(*) filter (where n > 1) as a from `p`.`marts`.`t`",
    "select try_cast(s as int64) as a from `p`.`marts`.`t`",
    "select cast(n as varchar) as a from `p`.`marts`.`t`",
    "select cast(x as double) as a from `p`.`marts`.`t`",
    "select coalesce(seen_at, d) as a from `p`.`marts`.`t`",
    "select date_diff('day', d, d) as a from `p`.`marts`.`t`",
    "select n, count(*) as a from `p`.`marts`.`t`",
    "select n from `p`.`marts`.`t` union select n from `p`.`marts`.`t`",
    "select * from `p`.`marts`.`t` order by all",
    "select price from `p`.`marts`.`t`",
    "select * from `p`.`marts`.`nowhere`",
    "create or replace table `p`.`marts`.`u` (n int64) as (select s as n from `p`.`marts`.`t`)",
    "merge into `p`.`marts`.`t` as t using (select d as n from `p`.`marts`.`t`) as u on t.n = u.n when matched then delete",
)


class Reader:
    """Google's analyser, and the tables it has been told of so far."""

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        language = LanguageOptions.maximum_features()
        language.product_mode = ProductMode.PRODUCT_EXTERNAL  # as Google's customers have it: no INT32, no DOUBLE
        language.reserved_keywords = ["QUALIFY"]
        self._options = AnalyzerOptions(language_options=language)
        self._analyser = ZetaSqlLocalService.get_instance()
        self._tables = dict(tables)
        self._catalog: int | None = None

    def learn(self, table: str, columns: Columns) -> None:
        if self._tables.get(table) != columns:
            self._tables[table] = columns
            self._catalog = None

    def statements(self, script: str) -> Iterator[Any]:
        """Each statement of a script, resolved.

        Raises:
            zetasql's error: the first statement BigQuery would refuse.
        """
        location = ParseResumeLocation(input=_plain(script), byte_position=0)
        text = location.input.encode()
        while text[location.byte_position :].strip():
            answer = self._analyser.analyze(
                parse_resume_location=location, options=self._options, registered_catalog_id=self._registered()
            )
            location.byte_position = answer.resume_byte_position
            yield answer.resolved_statement

    def _registered(self) -> int:
        """The number of the catalogue at the analyser: handed over with each statement it takes six times as long."""
        if self._catalog is None:
            catalog = CatalogBuilder("catalog")
            for name, columns in self._tables.items():
                table = TableBuilder(name)
                for column, kind in columns.items():
                    table = table.add_column(column, kind)
                catalog = catalog.add_table(table.build())
            functions = ZetaSQLBuiltinFunctionOptions(language_options=self._options.language_options)
            built = catalog.with_builtin_functions(functions).build()
            self._catalog = self._analyser.register_catalog(simple_catalog=built).registered_id
        return self._catalog


class Lint:
    """One pass over kept SQL: every model is read before what is made of it, and its columns are learnt as they were resolved."""

    def __init__(self, raw: Mapping[str, Mapping[str, str]]) -> None:
        self._reader = Reader({name: {c: TYPES[t] for c, t in columns.items()} for name, columns in raw.items()})
        self._read_before: dict[str, Any] = {}
        self.refused: list[str] = []

    def step(self, folder: Path) -> None:
        """What one dbt command compiled, in the order it was run, then the statements it sent."""
        for result in json.loads((folder / "run_results.json").read_text())["results"]:
            if result["compiled_code"]:
                query = self._read(f"{folder.name}, {result['unique_id']}", result["compiled_code"])
                if query is not None and result["relation_name"]:
                    self._learn(result, {c.name: c.column.type for c in query.output_column_list})
        for file in sorted((folder / "run").rglob("*.sql")):
            self._read(f"{folder.name}, statements of {file.name}", file.read_text())

    def _learn(self, result: Mapping[str, Any], columns: Columns) -> None:
        table = result["relation_name"].replace("`", "")
        if result["unique_id"].startswith("snapshot."):
            columns = {**columns, **SNAPSHOT_COLUMNS}
            self._reader.learn(f"{table}__dbt_tmp", {**columns, "dbt_change_type": TypeKind.TYPE_STRING})
        else:
            self._reader.learn(f"{table}__dbt_tmp", columns)
        self._reader.learn(table, columns)

    def _read(self, what: str, script: str) -> Any:
        """The last statement, resolved; None of what is refused. The same text is read once, however many runs sent it."""
        if script not in self._read_before:
            self._read_before[script] = None
            try:
                *_, self._read_before[script] = self._reader.statements(script)
            except Exception as error:  # noqa: BLE001 - zetasql has several, and a linter tells of all of them
                self.refused.append(f"{what}: {error}")
        return self._read_before[script]

    @property
    def num_read(self) -> int:
        return len(self._read_before)


def _plain(sql: str) -> str:
    """Names of tables as the catalogue has them: in one pair of quotes, those of temporary tables without their number."""
    return TEMPORARY.sub("__dbt_tmp", QUALIFIED.sub(r"`\1.\2.\3`", sql))


def lint(folder: Path) -> int:
    started = time.monotonic()
    run = Lint(json.loads((folder / "raw.json").read_text()))
    steps = sorted(path.parent for path in folder.glob("*/run_results.json"))
    for step in steps:
        run.step(step)
    if not run.num_read:
        raise SystemExit(f"{folder} holds no SQL. Keep some: KEEP_SQL_IN={folder} pytest tests/dbt/test_bigquery.py")
    for line in run.refused:
        say(line)
    say(
        f"{run.num_read} texts of {len(steps)} runs read in {time.monotonic() - started:.0f} s, {len(run.refused)} refused."
    )
    return 1 if run.refused else 0


def self_test() -> int:
    reader = Reader(SHOP)
    failures = [f"refused, though right: {sql}: {error}" for sql in RIGHT if (error := _error(reader, sql))]
    failures += [f"accepted, though wrong: {sql}" for sql in WRONG if not _error(reader, sql)]
    for line in failures:
        say(line)
    say(f"{len(RIGHT)} right and {len(WRONG)} wrong statements read, {len(failures)} of them misjudged.")
    return 1 if failures else 0


def _error(reader: Reader, sql: str) -> str | None:
    try:
        list(reader.statements(sql))
    except Exception as error:  # noqa: BLE001 - see above
        return str(error)
    return None


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--self-test"]:
            return self_test()
        case [folder]:
            return self_test() or lint(Path(folder))
    say(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
