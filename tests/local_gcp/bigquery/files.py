"""Rows into tables and out of them: load, copy, extract, EXPORT DATA."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tests.local_gcp.bigquery.catalog import Catalog, Resource
from tests.local_gcp.bigquery.errors import BigQueryError, already_exists, invalid, missing_here, not_found
from tests.local_gcp.bigquery.names import TableId
from tests.local_gcp.bigquery.types import Field, api_name, duckdb_type, field_of

MAX_ROWS_PER_FILE = 50_000
"""Low, so that a reader meets exports of several files. The real one cuts at about a gigabyte."""

COMPRESSIONS = {"", "NONE", "SNAPPY", "GZIP", "ZSTD"}
PARTITION_FORMATS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


class Objects(Protocol):
    """The local Cloud Storage, as far as jobs need it."""

    def names(self, bucket: str, prefix: str) -> list[str]: ...
    def read(self, bucket: str, name: str) -> bytes: ...
    def write(self, bucket: str, name: str, content: bytes) -> None: ...


# -- into a table ------------------------------------------------------------------------------------------------------


def write(
    catalog: Catalog,
    cursor: duckdb.DuckDBPyConnection,
    table: TableId,
    source: str,
    *,
    disposition: str,
    metadata: Resource,
    partition: str | None = None,
    may_add_fields: bool = False,
) -> int:
    """Replace the table (or one partition of it) by the rows of `source`, or add them; the number of rows."""
    catalog.dataset(table.project, table.dataset)
    there = catalog.tables.get(table)
    _check_partitioning(there, metadata, table)
    cursor.begin()
    try:
        if there is None or (disposition == "WRITE_TRUNCATE" and not partition) or catalog.is_empty_shell(table):
            rows = cursor.execute(f"create or replace table {table.duckdb} as {source}").fetchone()[0]
            for field in metadata.get("schema", {}).get("fields", []):
                if field.get("mode") == "REQUIRED":
                    cursor.execute(f'alter table {table.duckdb} alter column "{field["name"]}" set not null')
            catalog.register(table, (there or {}) | {"schema": {}} | metadata)
        else:
            rows = _into_existing(catalog, cursor, table, source, disposition, partition, may_add_fields)
            catalog.touch(table)
    except BaseException:
        cursor.rollback()
        raise
    cursor.commit()
    return rows


def _check_partitioning(there: Resource | None, metadata: Resource, table: TableId) -> None:
    for clause in ("timePartitioning", "rangePartitioning"):
        if there and clause in metadata and _spec(metadata[clause]) != _spec(there.get(clause, {})):
            raise invalid(
                f"Incompatible table partitioning specification for {table}. "
                f"Expected: {there.get(clause)}. Received: {metadata[clause]}."
            )


def _spec(clause: dict[str, Any]) -> dict[str, Any]:
    return {key: clause.get(key) for key in ("type", "field", "range")}


def _into_existing(
    catalog: Catalog,
    cursor: duckdb.DuckDBPyConnection,
    table: TableId,
    source: str,
    disposition: str,
    partition: str | None,
    may_add_fields: bool,
) -> int:
    if catalog.known(table)["type"] == "VIEW":
        raise invalid(f"{table} is a view; rows cannot be written to it")
    where = f"where {partition_condition(catalog.known(table), partition)}" if partition else ""
    if disposition == "WRITE_EMPTY" and cursor.execute(f"select 1 from {table.duckdb} {where} limit 1").fetchone():
        raise already_exists(f"Table {table}")
    _match_columns(catalog, cursor, table, source, may_add_fields)
    if partition:
        _check_rows_are_of(cursor, source, where, partition)
    if disposition == "WRITE_TRUNCATE":
        cursor.execute(f"delete from {table.duckdb} {where}")
    return cursor.execute(f"insert into {table.duckdb} by name {source}").fetchone()[0]


def _match_columns(
    catalog: Catalog, cursor: duckdb.DuckDBPyConnection, table: TableId, source: str, may_add_fields: bool
) -> None:
    have = {field["name"].lower(): field for field in catalog.fields(table)}
    for field in _fields_of(cursor, source):
        wanted = have.get(field["name"].lower())
        if wanted is None:
            if not may_add_fields:
                raise invalid(
                    f"Provided Schema does not match Table {table}. Cannot add fields (field: {field['name']})"
                )
            cursor.execute(f'alter table {table.duckdb} add column "{field["name"]}" {duckdb_type(field)}')
        elif _kind(wanted) != _kind(field):
            raise invalid(
                f"Provided Schema does not match Table {table}. Field {field['name']} has changed type "
                f"from {_kind(wanted)} to {_kind(field)}"
            )


def _kind(field: Field) -> tuple[str, bool]:
    kind = api_name(field["type"])
    return ("STRING" if kind == "JSON" else kind), field.get("mode") == "REPEATED"


def _fields_of(cursor: duckdb.DuckDBPyConnection, source: str) -> list[Field]:
    relation = cursor.sql(source)
    return [field_of(*column) for column in zip(relation.columns, relation.types, strict=True)]


def partition_condition(table: Resource, partition: str) -> str:
    """DuckDB condition: the row is in the partition that `table$partition` names."""
    if by_range := table.get("rangePartitioning"):
        start, width = int(partition), int(by_range["range"]["interval"])
        return f'"{by_range["field"]}" >= {start} and "{by_range["field"]}" < {start + width}'
    by_time = table.get("timePartitioning")
    if not by_time or not by_time.get("field"):
        raise invalid(f"{table['id']} has no partitions by a column; ${partition} names none.")
    pattern = PARTITION_FORMATS[by_time.get("type", "DAY")]
    return f"strftime(\"{by_time['field']}\", '{pattern}') = '{partition}'"


def _check_rows_are_of(cursor: duckdb.DuckDBPyConnection, source: str, where: str, partition: str) -> None:
    total, inside = (
        cursor.execute(f"select count(*) from ({source}) as _source {condition}").fetchone()[0]
        for condition in ("", where)
    )
    if total != inside:
        raise invalid(f"Some rows belong to different partitions rather than destination partition {partition}")


# -- load and copy -----------------------------------------------------------------------------------------------------


def load(
    catalog: Catalog,
    objects: Objects,
    cursor: duckdb.DuckDBPyConnection,
    config: dict[str, Any],
    payload: bytes | None,
) -> int:
    """A load job, from an upload or from gs:// addresses."""
    reference = config["destinationTable"]
    contents = [payload] if payload is not None else _matching(objects, config["sourceUris"])
    with _as_files(contents) as paths:
        source, _ = _source(config, paths, cursor)
        return write(
            catalog,
            cursor,
            TableId.of(reference),
            source,
            disposition=config.get("writeDisposition", "WRITE_APPEND"),
            metadata={key: config[key] for key in ("timePartitioning", "rangePartitioning", "clustering", "schema")
                      if key in config},
            partition=_partition(reference),
            may_add_fields="ALLOW_FIELD_ADDITION" in config.get("schemaUpdateOptions", []),
        )  # fmt: skip


def _partition(reference: dict[str, str]) -> str | None:
    return reference["tableId"].partition("$")[2] or None


@contextmanager
def _as_files(contents: list[bytes]) -> Iterator[list[Path]]:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        yield paths


def _matching(objects: Objects, uris: list[str]) -> list[bytes]:
    found = []
    for uri in uris:
        bucket, pattern = _bucket_and_name(uri)
        before, _, after = pattern.partition("*")
        names = [
            name
            for name in objects.names(bucket, before)
            if name == pattern or ("*" in pattern and name.endswith(after))
        ]
        if not names:
            raise not_found(f"URI {uri}")
        found += [objects.read(bucket, name) for name in names]
    return found


def _bucket_and_name(uri: str) -> tuple[str, str]:
    address = re.fullmatch(r"gs://([^/]+)/(.+)", uri)
    if not address:
        raise invalid(f"A Cloud Storage address is gs://bucket/object. Received: {uri}")
    return address[1], address[2]


def _source(config: dict[str, Any], paths: list[Path], cursor: duckdb.DuckDBPyConnection) -> tuple[str, list[Field]]:
    """DuckDB query over the files, in BigQuery's types."""
    kind = config.get("sourceFormat", "CSV")
    if kind not in READERS:
        raise missing_here(f"loading {kind}")
    declared: list[Field] = config.get("schema", {}).get("fields", [])
    if kind == "PARQUET":
        _check_lists(config, paths)
    query = f"from {READERS[kind](config, ', '.join(repr(str(path)) for path in paths), declared)}"
    fields = declared or _fields_of(cursor, query)
    casts = ", ".join(f'cast("{field["name"]}" as {duckdb_type(field)}) as "{field["name"]}"' for field in fields)
    return f"select {casts} {query}", fields


def _check_lists(config: dict[str, Any], paths: list[Path]) -> None:
    """Without list inference BigQuery makes a record `list` with a record `element` of every list."""
    if config.get("parquetOptions", {}).get("enableListInference"):
        return
    for path in paths:
        if any(pa.types.is_list(kind) or pa.types.is_large_list(kind) for kind in pq.read_schema(path).types):
            raise missing_here("lists in Parquet without parquet_options.enable_list_inference")


def _parquet(_: dict[str, Any], paths: str, __: list[Field]) -> str:
    return f"read_parquet([{paths}], union_by_name = true)"


def _json(_: dict[str, Any], paths: str, declared: list[Field]) -> str:
    columns = f", columns = {_columns(declared)}" if declared else ""
    return f"read_json([{paths}], format = 'newline_delimited'{columns})"


def _csv(config: dict[str, Any], paths: str, declared: list[Field]) -> str:
    skipped = int(config.get("skipLeadingRows") or 0)
    options = {
        "delim": config.get("fieldDelimiter") or ",",
        "quote": config.get("quote", '"'),
        "escape": config.get("quote", '"'),
        "nullstr": config.get("nullMarker") or "",
    }
    words = "".join(f", {name} = '{value}'" for name, value in options.items())
    if declared:
        return f"read_csv([{paths}], header = false, skip = {skipped}, auto_detect = false, columns = {_columns(declared)}{words})"
    if not config.get("autodetect"):
        raise invalid("CSV needs a schema or autodetect")
    return f"read_csv([{paths}], header = true, skip = {max(skipped - 1, 0)}{words})"


def _columns(fields: list[Field]) -> str:
    return "{" + ", ".join(f"'{field['name']}': '{duckdb_type(field)}'" for field in fields) + "}"


READERS = {"PARQUET": _parquet, "NEWLINE_DELIMITED_JSON": _json, "CSV": _csv}


def copy(catalog: Catalog, cursor: duckdb.DuckDBPyConnection, config: dict[str, Any]) -> int:
    """A copy job, of tables or of single partitions."""
    sources = config.get("sourceTables") or [config["sourceTable"]]
    first = catalog.table(TableId.of(sources[0]))
    if first["type"] == "VIEW":
        raise invalid(f"{first['id']} is a view; it cannot be copied")
    selects = [_rows_of(catalog, source) for source in sources]
    kept = ("timePartitioning", "rangePartitioning", "clustering", "schema")
    return write(
        catalog,
        cursor,
        TableId.of(config["destinationTable"]),
        " union all by name ".join(selects),
        disposition=config.get("writeDisposition", "WRITE_EMPTY"),
        metadata={key: first[key] for key in kept if key in first},
        partition=_partition(config["destinationTable"]),
    )


def _rows_of(catalog: Catalog, reference: dict[str, str]) -> str:
    table, partition = TableId.of(reference), _partition(reference)
    where = f" where {partition_condition(catalog.known(table), partition)}" if partition else ""
    return f"select * from {table.duckdb}{where}"


# -- out of a table ----------------------------------------------------------------------------------------------------


def export(objects: Objects, options: dict[str, Any], rows: pa.Table) -> None:
    """EXPORT DATA. https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements"""
    known = {"uri", "format", "compression", "overwrite"}
    if unknown := options.keys() - known:
        raise missing_here(f"EXPORT DATA with {sorted(unknown)}")
    if options["uri"].count("*") != 1:
        raise invalid(f"Option 'uri' value must be a wild card URI, with one *. Received: {options['uri']}")
    bucket, pattern = _bucket_and_name(options["uri"])
    before, _, after = pattern.partition("*")
    if not options.get("overwrite") and [name for name in objects.names(bucket, before) if name.endswith(after)]:
        raise invalid(f"There are files at {options['uri']} already. Set overwrite to replace them.")
    _write_files(objects, options["uri"], options["format"], options.get("compression", ""), rows)


def extract(objects: Objects, config: dict[str, Any], rows: pa.Table) -> int:
    """An extract job; the number of files."""
    (uri,) = config.get("destinationUris") or [config["destinationUri"]]
    return _write_files(objects, uri, config.get("destinationFormat", "CSV"), config.get("compression", ""), rows)


def _write_files(objects: Objects, uri: str, kind: str, compression: str, rows: pa.Table) -> int:
    bucket, pattern = _bucket_and_name(uri)
    size = MAX_ROWS_PER_FILE if "*" in pattern else max(rows.num_rows, 1)
    starts = range(0, max(rows.num_rows, 1), size)
    for number, start in enumerate(starts):
        content = _encoded(rows.slice(start, size), kind.upper(), compression.upper())
        objects.write(bucket, pattern.replace("*", f"{number:012d}"), content)
    return len(starts)


def _encoded(rows: pa.Table, kind: str, compression: str) -> bytes:
    if compression not in COMPRESSIONS:
        raise BigQueryError(f"Unknown compression: {compression}", reason="invalid")
    buffer = io.BytesIO()
    if kind == "PARQUET":
        pq.write_table(rows, buffer, compression=compression or "NONE")
    elif kind == "CSV" and compression in ("", "NONE"):
        pyarrow.csv.write_csv(rows, buffer)
    else:
        raise missing_here(f"exporting {kind} with compression {compression or 'NONE'}")
    return buffer.getvalue()
