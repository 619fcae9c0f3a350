"""Mapped files: where they are, and which columns they have."""

import csv
import gzip
from pathlib import Path

import duckdb

from ml.contract.errors import MappingError
from orchestration.sources.mapping import SourceTable
from orchestration.sources.sql_duckdb import DUCKDB

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def resolve(path: str, *, mapping_folder: Path, data_dir: Path | None) -> Path:
    """Where a mapped file is: beside the mapping, else in the data folder.

    Raises:
        MappingError: in neither.
    """
    tried = [folder / path for folder in (mapping_folder, data_dir) if folder is not None]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise MappingError(
        f"`path` must name a file. Received: {path}, and there is no {' nor '.join(str(place) for place in tried)}. "
        "Correct it, or set AISLE_DATA_DIR to the folder that holds the file."
    )


def columns_of(path: Path, table: SourceTable) -> dict[str, str]:
    """Each column of a file and its DuckDB type; of a CSV all are text, so that nothing is turned into null unseen.

    Raises:
        MappingError: it is empty, has another separator or encoding, or is no Parquet file.
    """
    if path.stat().st_size == 0:
        raise empty_file(path)
    return _parquet_types(path) if is_parquet(path) else _csv_types(path, table)


def is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _parquet_types(path: Path) -> dict[str, str]:
    try:
        with duckdb.connect() as connection:
            described = connection.execute(f"describe from read_parquet({DUCKDB.literal(str(path))})").fetchall()
    except duckdb.Error as error:
        raise MappingError(
            f"{path.name} must be a Parquet file. Received: {first_lines(error)}. Replace it."
        ) from error
    return {row[0]: row[1] for row in described}


def _csv_types(path: Path, table: SourceTable) -> dict[str, str]:
    header = _header(path, table)
    if len(header) == 1:
        found = [name for sign, name in SEPARATORS.items() if sign != table.separator and sign in header[0]]
        if found:
            raise MappingError(
                f"{path.name} must be separated by {SEPARATORS.get(table.separator, repr(table.separator))}. "
                f"Received a single column {header[0]!r}, which holds {found[0]}. Set `separator` in the mapping."
            )
    # DuckDB tells names apart regardless of case.
    lower = [column.lower() for column in header]
    if repeated := [column for n, column in enumerate(header) if column.lower() in lower[:n]]:
        raise MappingError(
            f"{path.name} must name each column once. Received twice: {', '.join(repeated)}. Rename one in the file."
        )
    return dict.fromkeys(header, "VARCHAR")


def _header(path: Path, table: SourceTable) -> list[str]:
    encoding = "utf-8-sig" if table.encoding == "utf-8" else table.encoding
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding=encoding, newline="") as lines:
            header = next(csv.reader(lines, delimiter=table.separator), [])
    except (UnicodeError, gzip.BadGzipFile, EOFError) as error:
        raise MappingError(
            f"{path.name} must be text in {table.encoding}{', gzipped' if path.suffix == '.gz' else ''}. "
            f"Received: {error}. Correct `encoding`, or the file."
        ) from error
    if not header:
        raise empty_file(path)
    # pandas leaves the name of its index blank
    return [name or f"unnamed_{n}" for n, name in enumerate(header)]


def empty_file(path: Path) -> MappingError:
    return MappingError(f"{path.name} must hold at least one row. Received: none. Check that the export has finished.")


def first_lines(error: duckdb.Error) -> str:
    return " ".join(str(error).split("Possible", 1)[0].split())[:300]
