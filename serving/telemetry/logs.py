"""One form for every line of the log, uvicorn's own included."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from serving.request_id import current_request_id
from serving.settings import LogFormat

_SECRETS = re.compile(r"(aisle_[0-9a-f]{8})_[\w-]{43}|(://[^:/@\s]*):[^@/\s]+@")
_QUERY = re.compile(r"(/[^\s?\"']*)\?[^\s\"']+")


class TextLines(logging.Formatter):
    """For a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        request_id = current_request_id()
        return redacted(super().format(record)) + (f" [{request_id}]" if request_id else "")


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`; `request_id`, `exception` and the facts of the line where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        request_id = current_request_id()
        if request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line | getattr(record, "facts", {}), ensure_ascii=False, default=str)


def redacted(text: str) -> str:
    """Without the secret part of a key, the password of an address and the query of a path: whatever an error quotes, no line keeps them.

    >>> redacted("GET /api/v1/recommendations/homepage?user_id=u1 by redis://:secret@host")
    'GET /api/v1/recommendations/homepage?... by redis://:...@host'
    """
    text = _SECRETS.sub(lambda found: f"{found[1]}_..." if found[1] else f"{found[2]}:...@", text)
    return _QUERY.sub(r"\1?...", text)


def log_config(form: LogFormat, level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything goes to standard error in one form."""
    formatter = JsonLines if form is LogFormat.JSON else TextLines
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # uvicorn writes by handlers of its own unless it is told otherwise. Its access log stays off: it would hold every query.
        "loggers": {
            name: {"handlers": [], "propagate": name != "uvicorn.access"}
            for name in ("uvicorn", "uvicorn.error", "uvicorn.access")
        },
    }
