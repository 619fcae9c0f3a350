"""Errors as BigQuery words them: an HTTP status, a reason, a message.

https://cloud.google.com/bigquery/docs/error-messages. None of these reasons makes a Google client retry.
"""

import re

import duckdb
from sqlglot.errors import SqlglotError


class BigQueryError(Exception):
    def __init__(self, message: str, *, reason: str = "invalidQuery", code: int = 400) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code

    def body(self) -> dict:
        """The JSON of a failed request."""
        detail = {"message": str(self), "domain": "global", "reason": self.reason}
        return {"error": {"code": self.code, "message": str(self), "status": self.reason, "errors": [detail]}}

    def result(self) -> dict:
        """The `errorResult` of a failed job."""
        return {"reason": self.reason, "message": str(self)}


def not_found(what: str) -> BigQueryError:
    return BigQueryError(f"Not found: {what}", reason="notFound", code=404)


def already_exists(what: str) -> BigQueryError:
    return BigQueryError(f"Already Exists: {what}", reason="duplicate", code=409)


def invalid(message: str) -> BigQueryError:
    return BigQueryError(message, reason="invalid")


def missing_here(what: str) -> BigQueryError:
    """The local server lacks something that BigQuery may well have."""
    return BigQueryError(
        f"The local BigQuery does not know {what} (tests/local_gcp/README.md)", reason="notImplemented", code=501
    )


ANSI_STYLE = re.compile(r"\x1b\[\d+m")
UNKNOWN_FUNCTION = re.compile(r"Function with name \"?(\w+)\"? (?:does not exist|is not in the catalog)")


def as_bigquery_error(error: Exception) -> BigQueryError:
    """What a client is told. A defect of the local server is a 501: a 500 would be retried for minutes."""
    if isinstance(error, BigQueryError):
        return error
    if isinstance(error, duckdb.Error):
        return _of_duckdb(error)
    if isinstance(error, FileNotFoundError):
        return not_found(str(error))
    if isinstance(error, SqlglotError):
        return BigQueryError(f"Syntax error: {ANSI_STYLE.sub('', str(error))}")
    return missing_here(f"how to do this: {type(error).__name__}: {error}")


def _of_duckdb(error: duckdb.Error) -> BigQueryError:
    message = str(error)
    if unknown := UNKNOWN_FUNCTION.search(message):
        return missing_here(f"the function {unknown[1]}")
    if isinstance(error, (duckdb.NotImplementedException, duckdb.InternalException)):
        return missing_here(f"how to do this: {message}")
    if null := re.search(r"NOT NULL constraint failed: \w+\.(\w+)", message):
        return BigQueryError(f"Required field {null[1]} cannot be null")
    return BigQueryError(message)
