"""What the names in a statement stand for: tables, views, variables, parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp, parse
from sqlglot.dialects import BigQuery
from sqlglot.tokens import TokenType

from tests.local_gcp.bigquery.errors import BigQueryError, missing_here


class TableId(NamedTuple):
    project: str
    dataset: str
    name: str

    @classmethod
    def of(cls, reference: dict) -> "TableId":
        """From a TableReference, without the partition it may name."""
        return cls(reference["projectId"], reference["datasetId"], reference["tableId"].split("$")[0])

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.name}"

    @property
    def duckdb(self) -> str:
        return f'"{self.project}"."{self.dataset}"."{self.name}"'

    @property
    def reference(self) -> dict:
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.name}


@dataclass
class Names:
    """Where a script runs, and what it has declared so far."""

    project: str
    default_dataset: str | None
    view_query: Callable[[TableId], str | None]
    """The query of a view, None for a table; an error where there is neither."""

    information_schema: Callable[[str, str, str | None], str]
    """DuckDB's name of a relation with the rows of (view, project, dataset)."""

    parameters: dict[str, exp.Expr] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    """DuckDB's type of each declared variable."""

    temporary: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    def table_id(self, table: exp.Table) -> TableId:
        dataset = table.db or self.default_dataset
        if not dataset:
            raise BigQueryError(f'Table "{table.name}" must be qualified with a dataset (e.g. dataset.table).')
        return TableId(table.catalog or self.project, dataset, table.name)

    def is_temporary(self, table: exp.Table) -> bool:
        return not table.db and table.name.lower() in self.temporary


def parse_script(text: str) -> list[exp.Expr]:
    """The statements; positional parameters become @_1, @_2, ... in the order they are written."""
    # A comment behind a semicolon is parsed as a statement of its own.
    nothing = (type(None), exp.Semicolon)
    return [statement for statement in parse(_numbered(text), read="bigquery") if not isinstance(statement, nothing)]


def _numbered(text: str) -> str:
    marks = [token for token in BigQuery().tokenize(text) if token.token_type == TokenType.PLACEHOLDER]
    for number, token in reversed(list(enumerate(marks, 1))):
        text = f"{text[: token.start]}@_{number}{text[token.end + 1 :]}"
    return text


def resolve(tree: exp.Expr, names: Names) -> exp.Expr:
    """Every table by its full name; a view is replaced by its query, as it reads at this moment."""
    root = exp.Paren(this=tree)
    with_names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name.lower() in with_names):
            continue
        _resolve_table(table, names)
    return root.this.pop()


def _resolve_table(table: exp.Table, names: Names) -> None:
    if table.name.upper().startswith("INFORMATION_SCHEMA."):
        _information_schema(table, names)
    elif not names.is_temporary(table):
        _stored_table(table, names)


def _information_schema(table: exp.Table, names: Names) -> None:
    view = table.name.upper().removeprefix("INFORMATION_SCHEMA.")
    dataset = None if table.db.lower().startswith("region-") else table.db or names.default_dataset
    relation = names.information_schema(view, table.catalog or names.project, dataset)
    alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(view))
    table.replace(exp.Table(this=exp.to_identifier(relation), alias=alias))


def _stored_table(table: exp.Table, names: Names) -> None:
    if "*" in table.name:
        raise missing_here(f"wildcard tables, as in {table.name}")
    if table.args.get("version") or table.args.get("when"):
        raise missing_here("FOR SYSTEM_TIME AS OF")
    table_id = names.table_id(table)
    query = names.view_query(table_id)
    if query is None:
        for part, value in zip(("catalog", "db", "this"), table_id, strict=True):
            table.set(part, exp.to_identifier(value, quoted=True))
        return
    if not isinstance(table.parent, exp.From | exp.Join):
        raise BigQueryError(f"{table_id} is a view and cannot be modified or copied.")
    (statement,) = parse_script(query)
    inside = Names(table_id.project, table_id.dataset, names.view_query, names.information_schema)
    alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table_id.name, quoted=True))
    table.replace(exp.Subquery(this=resolve(statement, inside), alias=alias, joins=table.args.get("joins")))
