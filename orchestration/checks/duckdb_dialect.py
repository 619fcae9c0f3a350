"""SQLAlchemy dialect `duckdb+buffered`: reads a whole result before its cursor is used again, and keeps no connection.

Great Expectations fetches after it has given the connection back; a DuckDB result dies with its connection. To be deleted when
Great Expectations has an engine of its own for DuckDB.
"""

from duckdb_sqlalchemy import Dialect
from sqlalchemy import URL, NullPool, Pool
from sqlalchemy.dialects import registry
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy


class _BufferedContext(Dialect.execution_ctx_cls):  # type: ignore[misc]  # duckdb_sqlalchemy is untyped
    def post_exec(self) -> None:
        super().post_exec()
        if self.cursor.description:
            rows = self.cursor.fetchall()
            self.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(self.cursor, initial_buffer=rows)


class BufferedDialect(Dialect):  # type: ignore[misc]  # duckdb_sqlalchemy is untyped
    """DuckDB, results buffered."""

    driver = "buffered"
    supports_statement_cache = False
    execution_ctx_cls = _BufferedContext

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:  # noqa: ARG003 - SQLAlchemy's signature
        # A pooled connection would keep the file open after the checks, and dbt writes next.
        return NullPool


def register() -> None:
    """Make `duckdb+buffered:///path` a URL that SQLAlchemy knows."""
    registry.register("duckdb.buffered", __name__, BufferedDialect.__name__)
