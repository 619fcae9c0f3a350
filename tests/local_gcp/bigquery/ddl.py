"""What CREATE says beside the query: partitioning, clustering, options, columns, constraints."""

from typing import Any

from sqlglot import exp

from tests.local_gcp.bigquery.errors import invalid, missing_here
from tests.local_gcp.bigquery.types import Field, api_name

OPTIONS = {
    "description": "description",
    "friendly_name": "friendlyName",
    "labels": "labels",
    "location": "location",
    "require_partition_filter": "requirePartitionFilter",
}
UNKEPT_OPTIONS = {"expiration_timestamp", "partition_expiration_days", "default_table_expiration_days"}
"""Accepted and forgotten: nothing expires here."""


def table_metadata(create: exp.Create) -> dict[str, Any]:
    """The clauses as fields of a Table resource."""
    metadata: dict[str, Any] = {}
    properties = create.args.get("properties")
    for clause in properties.expressions if properties else []:
        metadata |= _clause(clause)
    if isinstance(create.this, exp.Schema):
        metadata |= _columns(create.this)
    return metadata


def is_temporary(create: exp.Create) -> bool:
    return create.find(exp.TemporaryProperty) is not None


def _clause(clause: exp.Expr) -> dict[str, Any]:
    if isinstance(clause, exp.PartitionedByProperty):
        return partitioning(clause.this)
    if isinstance(clause, exp.ClusterProperty):
        return {"clustering": {"fields": [column.name for column in clause.expressions]}}
    if isinstance(clause, exp.LocationProperty):
        return {"location": clause.this.name}
    if isinstance(clause, exp.TemporaryProperty | exp.LikeProperty):
        return {}
    if type(clause) is exp.Property:
        return option(clause.name.lower(), clause.args["value"])
    raise missing_here(f"the clause {clause.sql('bigquery')}")


def partitioning(by: exp.Expr) -> dict[str, Any]:
    inner = by.expressions[0] if isinstance(by, exp.Schema) else by
    column = inner.find(exp.Column, exp.Identifier)
    if inner.sql("bigquery").upper().startswith("RANGE_BUCKET"):
        bounds = [number.name for number in inner.find_all(exp.Literal)]
        spans = dict(zip(("start", "end", "interval"), [*bounds, "1"][:3], strict=True))
        return {"rangePartitioning": {"field": column.name, "range": spans}}
    if column is None or column.name.upper() == "_PARTITIONDATE":
        raise missing_here("partitioning by ingestion time")
    unit = "DAY" if isinstance(inner, exp.Column | exp.Identifier) else (inner.text("unit") or "DAY").upper()
    return {"timePartitioning": {"type": unit, "field": column.name}}


def option(name: str, value: exp.Expr) -> dict[str, Any]:
    if name in UNKEPT_OPTIONS:
        return {}
    if name not in OPTIONS:
        raise invalid(f"Unknown option: {name}")
    return {OPTIONS[name]: _value(value)}


def _value(value: exp.Expr) -> Any:
    if isinstance(value, exp.Boolean):
        return value.this
    if isinstance(value, exp.Array):
        return {pair.expressions[0].name: pair.expressions[1].name for pair in value.expressions}
    return value.name


# -- columns -----------------------------------------------------------------------------------------------------------


def _columns(schema: exp.Schema) -> dict[str, Any]:
    definitions = [column for column in schema.expressions if isinstance(column, exp.ColumnDef)]
    if not definitions:
        return {}
    metadata: dict[str, Any] = {"schema": {"fields": [_field(column) for column in definitions]}}
    keys = [key for key in schema.expressions if isinstance(key, exp.PrimaryKey)]
    if keys:
        columns = [part.name for part in keys[0].expressions]
        metadata["tableConstraints"] = {"primaryKey": {"columns": columns}}
    return metadata


def _field(column: exp.ColumnDef) -> Field:
    field = type_field(column.name, column.args["kind"])
    for constraint in column.args.get("constraints") or []:
        kind = constraint.args["kind"]
        if isinstance(kind, exp.NotNullColumnConstraint):
            field["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties):
            descriptions = {item.name.lower(): item.args["value"] for item in kind.expressions}
            field |= {"description": descriptions["description"].name} if "description" in descriptions else {}
        elif isinstance(kind, exp.DefaultColumnConstraint):
            raise missing_here("default values of columns")
    return field


def type_field(name: str, kind: exp.DataType) -> Field:
    """A column of a GoogleSQL type, as the interface describes it."""
    if kind.this == exp.DataType.Type.ARRAY:
        return type_field(name, kind.expressions[0]) | {"mode": "REPEATED"}
    if kind.this == exp.DataType.Type.STRUCT:
        fields = [type_field(member.name, member.args["kind"]) for member in kind.expressions]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": fields}
    bare = exp.DataType(this=kind.this).sql("bigquery")
    return {"name": name, "type": api_name(bare), "mode": "NULLABLE"}
