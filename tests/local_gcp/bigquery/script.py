"""Runs the statements of one script, one after the other, each wholly or not at all."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from tests.local_gcp.bigquery.catalog import Catalog
from tests.local_gcp.bigquery.ddl import is_temporary, option, table_metadata, type_field
from tests.local_gcp.bigquery.errors import BigQueryError, already_exists, missing_here
from tests.local_gcp.bigquery.names import Names, TableId
from tests.local_gcp.bigquery.translation import duckdb_text, name_columns, rewritten, to_duckdb
from tests.local_gcp.bigquery.types import Field, arrow_type, duckdb_type, field_of


@dataclass(frozen=True)
class Outcome:
    """What a statement gave."""

    statement_type: str
    table: pa.Table = field(default_factory=lambda: pa.table({}))
    fields: list[Field] = field(default_factory=list)
    affected_rows: int | None = None
    ddl: str | None = None
    """CREATE, REPLACE, SKIP or DROP."""

    target: TableId | None = None


@dataclass
class Export:
    """An EXPORT DATA statement whose rows have been computed."""

    options: dict[str, Any]
    rows: Outcome


class Script:
    """One cursor, and the names declared on the way."""

    def __init__(
        self,
        catalog: Catalog,
        names: Names,
        cursor: duckdb.DuckDBPyConnection,
        export: Callable[[dict[str, Any], pa.Table], None],
    ) -> None:
        self._catalog = catalog
        self._names = names
        self._cursor = cursor
        self._export_rows = export
        self._in_transaction = False

    def run(self, statement: exp.Expr) -> Outcome:
        for kind, method in METHODS.items():
            if isinstance(statement, kind):
                return self._atomically(method, statement)
        raise missing_here(f"the statement {statement.sql('bigquery')[:60]}")

    def _atomically(self, method: Callable[["Script", Any], Outcome], statement: exp.Expr) -> Outcome:
        if self._in_transaction or isinstance(statement, exp.Transaction):
            return method(self, statement)
        self._cursor.begin()
        try:
            outcome = method(self, statement)
        except BaseException:
            self._cursor.rollback()
            raise
        self._cursor.commit()
        return outcome

    # -- queries -------------------------------------------------------------------------------------------------------

    def query(self, tree: exp.Expr) -> Outcome:
        sql, fields = self.canonical(tree)
        rows = self._cursor.sql(sql).to_arrow_table()
        shape = pa.schema([(column["name"], arrow_type(column)) for column in fields])
        return Outcome("SELECT", rows.cast(shape), fields)

    def canonical(self, tree: exp.Expr) -> tuple[str, list[Field]]:
        """The query in DuckDB's words with BigQuery's types only, and its columns."""
        name_columns(tree)
        sql = to_duckdb(tree, self._names)
        relation = self._cursor.sql(sql)
        twice = [name for name, count in Counter(map(str.lower, relation.columns)).items() if count > 1]
        if twice:
            raise BigQueryError(f"Duplicate column names in the result are not supported. Found duplicate(s): {twice}")
        fields = [field_of(*column) for column in zip(relation.columns, relation.types, strict=True)]
        casts = ", ".join(f'cast("{field["name"]}" as {duckdb_type(field)}) as "{field["name"]}"' for field in fields)
        return f"select {casts} from ({sql}) as _canonical", fields

    def _modify(self, statement: exp.Expr) -> Outcome:
        kind = next(name for node, name in DML.items() if isinstance(statement, node))
        if kind in ("UPDATE", "DELETE") and not statement.args.get("where"):
            raise BigQueryError(f"{kind} must have a WHERE clause")
        done = self._cursor.execute(to_duckdb(statement, self._names)).fetchone()
        return Outcome(kind, affected_rows=int(done[0]) if done else 0)

    def _export(self, statement: exp.Export) -> Outcome:
        options = {}
        for item in statement.args["options"].expressions:
            name = "format" if isinstance(item, exp.FileFormatProperty) else item.name.lower()
            value = item.this if isinstance(item, exp.FileFormatProperty) else item.args["value"]
            options[name] = value.this if isinstance(value, exp.Boolean) else value.name
        self._export_rows(options, self.query(statement.this).table)
        return Outcome("EXPORT_DATA")

    # -- variables and transactions ------------------------------------------------------------------------------------

    def _declare(self, statement: exp.Declare) -> Outcome:
        for item in statement.expressions:
            kind, default = item.args.get("kind"), item.args.get("default")
            if kind is None:
                raise missing_here("DECLARE without a type")
            value = self._expression(default) if isinstance(default, exp.Expr) else "null"
            for name in item.this:
                self._names.variables[name.name.lower()] = duckdb_type(type_field(name.name, kind))
                self._cursor.execute(f'set variable "{name.name.lower()}" = {value}')
        return Outcome("SCRIPT")

    def _expression(self, tree: exp.Expr) -> str:
        return to_duckdb(tree.copy(), self._names)

    def _set(self, statement: exp.Set) -> Outcome:
        for item in statement.expressions:
            left, right = item.this.this, item.this.expression
            if isinstance(left, exp.Tuple | exp.Paren):
                self._set_together([part.name for part in left.expressions or [left.this]], right)
            else:
                self._set_one(left.name, self._expression(right))
        return Outcome("SCRIPT")

    def _set_one(self, name: str, value: str) -> None:
        if name.lower() not in self._names.variables:
            raise BigQueryError(f"Undeclared variable: {name}")
        self._cursor.execute(f'set variable "{name.lower()}" = {value}')

    def _set_together(self, names: list[str], right: exp.Expr) -> None:
        """`set (a, b) = (select as struct ...)`."""
        query = right.unnest()
        if isinstance(query, exp.Tuple):
            for name, value in zip(names, query.expressions, strict=True):
                self._set_one(name, self._expression(value))
            return
        query.set("kind", None)
        name_columns(query)
        self._cursor.execute(f"create or replace temp table _set as {self._expression(query)}")
        columns = [column[0] for column in self._cursor.execute("describe _set").fetchall()]
        for name, column in zip(names, columns, strict=True):
            self._set_one(name, f'(select "{column}" from _set)')

    def _transaction(self, statement: exp.Expr) -> Outcome:
        if isinstance(statement, exp.Transaction):
            self._cursor.begin()
            self._in_transaction = True
            return Outcome("BEGIN_TRANSACTION")
        if not self._in_transaction:
            raise BigQueryError("There is no transaction to end")
        commit = isinstance(statement, exp.Commit)
        (self._cursor.commit if commit else self._cursor.rollback)()
        self._in_transaction = False
        return Outcome("COMMIT_TRANSACTION" if commit else "ROLLBACK_TRANSACTION")

    # -- definitions ---------------------------------------------------------------------------------------------------

    def _create(self, statement: exp.Create) -> Outcome:
        kind = statement.args["kind"].upper()
        creators = {"SCHEMA": self._schema, "FUNCTION": self._function, "VIEW": self._view, "TABLE": self._table}
        if kind not in creators or statement.find(exp.MaterializedProperty):
            raise missing_here(f"CREATE of this {kind}")
        return creators[kind](statement)

    def _schema(self, statement: exp.Create) -> Outcome:
        name = statement.this
        self._catalog.create_dataset(
            name.catalog or self._names.project,
            name.db,
            table_metadata(statement),
            exists_ok=bool(statement.args.get("exists")),
        )
        return Outcome("CREATE_SCHEMA")

    def _function(self, statement: exp.Create) -> Outcome:
        if not is_temporary(statement) or isinstance(statement.expression, exp.Literal | exp.RawString | None):
            raise missing_here("functions other than temporary ones in SQL")
        name, arguments = statement.this.this.name, [item.name for item in statement.this.expressions]
        body = duckdb_text(rewritten(statement.expression.copy(), self._names))
        self._names.functions.add(name.lower())
        self._cursor.execute(f"create or replace temp macro {name}({', '.join(arguments)}) as {body}")
        return Outcome("CREATE_FUNCTION")

    def _view(self, statement: exp.Create) -> Outcome:
        table, ddl = self._room_for(statement, "VIEW")
        if ddl == "SKIP":
            return Outcome("CREATE_VIEW", ddl=ddl, target=table)
        metadata = table_metadata(statement)
        query = statement.expression.sql("bigquery")
        _, fields = self.canonical(statement.expression.copy())
        schema = {"fields": _described(fields, metadata)}
        self._catalog.register(table, metadata | {"view": {"query": query, "useLegacySql": False}, "schema": schema})
        return Outcome("CREATE_VIEW", ddl=ddl, target=table)

    def _table(self, statement: exp.Create) -> Outcome:
        if is_temporary(statement):
            return self._temporary_table(statement)
        table, ddl = self._room_for(statement, "TABLE")
        with_query = statement.expression is not None
        kind = "CREATE_TABLE_AS_SELECT" if with_query else "CREATE_TABLE"
        if ddl == "SKIP":
            return Outcome(kind, ddl=ddl, target=table)
        metadata = self._inherited(statement) | table_metadata(statement)
        rows = self._fill(table.duckdb, statement, metadata)
        self._catalog.register(table, metadata)
        return Outcome(kind, affected_rows=rows, ddl=ddl, target=table)

    def _temporary_table(self, statement: exp.Create) -> Outcome:
        name = (statement.this.this if isinstance(statement.this, exp.Schema) else statement.this).name
        self._fill(f'"{name}"', statement, table_metadata(statement), kind="temp table")
        self._names.temporary.add(name.lower())
        return Outcome("CREATE_TABLE_AS_SELECT", ddl="CREATE")

    def _inherited(self, statement: exp.Create) -> dict[str, Any]:
        """What LIKE, COPY and CLONE take over from their source."""
        source = self._source(statement)
        return dict(self._catalog.table(source)) if source else {}

    def _source(self, statement: exp.Create) -> TableId | None:
        clone, like = statement.args.get("clone"), statement.find(exp.LikeProperty)
        origin = clone.this if clone else like.this if like else None
        return self._names.table_id(origin) if origin else None

    def _fill(self, target: str, statement: exp.Create, metadata: dict[str, Any], *, kind: str = "table") -> int | None:
        declared: list[Field] = metadata.get("schema", {}).get("fields", [])
        if statement.expression is not None:
            query, columns = self.canonical(statement.expression)
        elif statement.args.get("clone"):
            query, columns = f"from {self._source(statement).duckdb}", declared
        else:
            definitions = ", ".join(f'"{column["name"]}" {duckdb_type(column)}' for column in declared)
            self._cursor.execute(f"create or replace {kind} {target} ({definitions})")
            self._require(target, declared)
            return None
        declared = declared or columns
        if len(declared) != len(columns):
            raise BigQueryError(f"{len(declared)} columns are declared, the query gives {len(columns)}")
        casts = ", ".join(
            f'cast("{column["name"]}" as {duckdb_type(wanted)}) as "{wanted["name"]}"'
            for column, wanted in zip(columns, declared, strict=True)
        )
        self._cursor.execute(f"create or replace {kind} {target} as select {casts} from ({query}) as _filled")
        self._require(target, declared)
        return self._cursor.execute(f"select count(*) from {target}").fetchone()[0]

    def _require(self, target: str, fields: list[Field]) -> None:
        for column in fields:
            if column.get("mode") == "REQUIRED":
                self._cursor.execute(f'alter table {target} alter column "{column["name"]}" set not null')

    def _room_for(self, statement: exp.Create, kind: str) -> tuple[TableId, str]:
        """Where the new table goes, and whether it is created, replaced or left alone."""
        node = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
        table = self._names.table_id(node)
        self._catalog.dataset(table.project, table.dataset)
        self._catalog.attach(table.project)
        there = self._catalog.tables.get(table)
        if there is None:
            return table, "CREATE"
        if statement.args.get("exists"):
            return table, "SKIP"
        if not statement.args.get("replace"):
            raise already_exists(f"Table {table}")
        if there["type"] != kind:
            raise BigQueryError(f"{table} is a {there['type']}, not a {kind}", reason="invalid")
        return table, "REPLACE"

    def _drop(self, statement: exp.Drop) -> Outcome:
        kind = statement.args["kind"].upper()
        name = statement.args["tables"][0] if statement.args.get("tables") else statement.this
        if kind == "SCHEMA":
            return self._drop_schema(statement, name)
        if kind not in ("TABLE", "VIEW"):
            raise missing_here(f"DROP {kind}")
        if self._names.is_temporary(name):
            self._cursor.execute(f'drop table temp."{name.name}"')
            self._names.temporary.discard(name.name.lower())
            return Outcome("DROP_TABLE")
        table = self._names.table_id(name)
        there = self._catalog.tables.get(table)
        if there is None and statement.args.get("exists"):
            return Outcome(f"DROP_{kind}", ddl="SKIP", target=table)
        if self._catalog.known(table)["type"] != kind:
            raise BigQueryError(
                f"Cannot drop {table} which has type {there['type']}. An object of type {kind} was expected."
            )
        if kind == "TABLE":
            self._cursor.execute(f"drop table {table.duckdb}")
        del self._catalog.tables[table]
        return Outcome(f"DROP_{kind}", ddl="DROP", target=table)

    def _drop_schema(self, statement: exp.Drop, name: exp.Table) -> Outcome:
        project = name.catalog or self._names.project
        if (project, name.db) in self._catalog.datasets or not statement.args.get("exists"):
            self._catalog.drop_dataset(project, name.db, contents=bool(statement.args.get("cascade")))
        return Outcome("DROP_SCHEMA")

    def _alter(self, statement: exp.Alter) -> Outcome:
        table = self._names.table_id(statement.this)
        resource = self._catalog.known(table)
        for action in statement.args["actions"]:
            if isinstance(action, exp.AlterSet):
                given = action.expressions[0]  # None: OPTIONS ()
                for item in given.expressions if given else []:
                    resource |= option(item.name.lower(), item.args["value"])
            elif isinstance(action, exp.ColumnDef):
                guard = "if not exists " if action.args.get("exists") else ""
                column = type_field(action.name, action.args["kind"])
                definition = f'"{column["name"]}" {duckdb_type(column)}'
                self._cursor.execute(f"alter table {table.duckdb} add column {guard}{definition}")
            elif isinstance(action, exp.Drop):
                guard = "if exists " if action.args.get("exists") else ""
                name = (action.this or action.args["tables"][0]).name
                self._cursor.execute(f'alter table {table.duckdb} drop column {guard}"{name}"')
            else:
                raise missing_here(f"ALTER TABLE {action.sql('bigquery')}")
        self._catalog.touch(table)
        return Outcome("ALTER_TABLE", target=table)


def _described(fields: list[Field], metadata: dict[str, Any]) -> list[Field]:
    """A view's columns with the descriptions its column list gave them."""
    noted = metadata.get("schema", {}).get("fields", [])
    return [found | {"name": note["name"], **{key: note[key] for key in ("description",) if key in note}}
            for found, note in zip(fields, noted or fields, strict=True)]  # fmt: skip


DML = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
    exp.TruncateTable: "TRUNCATE_TABLE",
}
METHODS: dict[Any, Callable[[Script, Any], Outcome]] = {
    exp.Query: Script.query,
    **dict.fromkeys(DML, Script._modify),
    exp.Create: Script._create,
    exp.Drop: Script._drop,
    exp.Alter: Script._alter,
    exp.Export: Script._export,
    exp.Declare: Script._declare,
    exp.Set: Script._set,
    (exp.Transaction, exp.Commit, exp.Rollback): Script._transaction,
}
