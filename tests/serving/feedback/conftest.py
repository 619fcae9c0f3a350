"""A log on each database; every test of the contract runs on both."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.feedback import FeedbackLog
from serving.feedback.engine import engine_of
from serving.feedback.migrate import migrate
from tests.serving.services import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]

OpenLog = Callable[[], FeedbackLog]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def open_log(url: str, tmp_path: Path) -> Iterator[OpenLog]:
    """Opens the log, as often as asked: each time as another process would."""
    engine = engine_of(url, default=tmp_path / "not used")
    migrate(engine)
    engine.dispose()
    opened: list[FeedbackLog] = []

    def open_one() -> FeedbackLog:
        opened.append(FeedbackLog.open(url, default=tmp_path / "not used"))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: OpenLog) -> FeedbackLog:
    return open_log()
