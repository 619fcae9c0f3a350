"""A server that says nothing is given up; one that is busy with a question is not."""

from collections.abc import Iterator
from time import monotonic
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from ml.contract.errors import FeedbackError
from serving.feedback import FeedbackLog
from serving.feedback.engine import engine_of
from serving.feedback.migrate import migrate
from serving.feedback.postgresql import SILENT_SECONDS, STATEMENT_SECONDS, ImpatientConnection
from tests.serving.lines import Line, line_to

pytestmark = pytest.mark.services


@pytest.fixture
def line(postgresql_url: str) -> Iterator[Line]:
    with line_to(urlsplit(postgresql_url).port) as line:
        yield line


@pytest.fixture
def log(postgresql_url: str, line: Line, tmp_path) -> Iterator[FeedbackLog]:
    engine = engine_of(postgresql_url, default=tmp_path)
    migrate(engine)
    engine.dispose()
    port = urlsplit(postgresql_url).port
    log = FeedbackLog.open(postgresql_url.replace(f":{port}", f":{line.port}"), default=tmp_path)
    yield log
    log.close()


def patience(log: FeedbackLog) -> float:
    with log.reading() as connection:
        found = connection.connection.driver_connection
        assert isinstance(found, ImpatientConnection)
        return found.seconds


def test_the_server_ends_a_long_statement_before_its_caller_gives_up(log):
    with pytest.raises(FeedbackError) as refused, log.reading() as connection:
        connection.execute(text("select pg_sleep(60)"))
    assert "statement timeout" in str(refused.value.__cause__)
    assert STATEMENT_SECONDS < SILENT_SECONDS


def test_a_question_may_take_longer_and_leaves_nobody_patient_behind(log):
    seconds = SILENT_SECONDS + 0.2
    assert log.ask(lambda connection: connection.execute(text(f"select 7 from pg_sleep({seconds})")).scalar()) == 7
    assert patience(log) == SILENT_SECONDS


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_line_that_broke_without_a_word_is_given_up_and_used_again_when_mended(log, line, is_connected):
    if not is_connected:
        log.engine.dispose()
    line.fall_silent()
    began = monotonic()
    with pytest.raises(FeedbackError) as refused:
        log.trace_of("a list")
    assert monotonic() - began < 10 * SILENT_SECONDS
    assert f"must answer within {SILENT_SECONDS:g} s" in str(refused.value.__cause__)
    line.mend()
    assert log.trace_of("a list") is None
