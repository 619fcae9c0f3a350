import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from ml.contract.errors import PlatformError
from serving.feedback import FeedbackLog, migrate
from serving.feedback.engine import engine_of
from serving.feedback.migrations.versions import v0001_feedback_log
from serving.feedback.schema import HEAD, metadata
from tests.serving.feedback.rows import event


@pytest.fixture
def engine(url, tmp_path):
    engine = engine_of(url, default=tmp_path / "not used")
    yield engine
    engine.dispose()


def test_the_steps_make_the_tables_the_code_uses(engine):
    assert migrate.migrate(engine) is None
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert migrate.migrate(engine) == HEAD


def test_the_newest_step_is_the_one_the_code_expects():
    assert ScriptDirectory.from_config(migrate._config()).get_heads() == [HEAD]


def test_processes_that_start_together_migrate_once(url, tmp_path):
    engines = [engine_of(url, default=tmp_path / "not used") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        before = list(pool.map(migrate.migrate, engines))
    assert sorted(before, key=str) == [HEAD] * 3 + [None]
    for engine in engines:
        engine.dispose()


def test_a_migration_that_breaks_off_leaves_nothing_behind(engine, monkeypatch):
    drop = v0001_feedback_log.op.create_index

    def fail(name, *args, **kwargs):
        if name == "ix_impressions_shown_at_us":
            raise RuntimeError("the power went")
        return drop(name, *args, **kwargs)

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(RuntimeError, match="the power went"):
        migrate.migrate(engine)
    assert inspect(engine).get_table_names() == []
    monkeypatch.undo()
    assert migrate.migrate(engine) is None


def test_tables_of_a_newer_version_are_refused_and_left_alone(engine, url, tmp_path):
    migrate.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    message = r"must be at a step this version knows.*Received: 9999.*newer version of Aisle"
    with pytest.raises(PlatformError, match=message):
        migrate.migrate(engine)
    with pytest.raises(PlatformError, match=message):
        FeedbackLog.open(url, default=tmp_path / "not used")


@pytest.mark.services
def test_postgresql_is_migrated_by_command_and_not_in_passing(postgresql_url, tmp_path, repository):
    with pytest.raises(PlatformError, match=r"Received: an empty database. Run `python -m serving.feedback migrate`"):
        FeedbackLog.open(postgresql_url, default=tmp_path)
    environment = {"AISLE_FEEDBACK_URL": postgresql_url, "AISLE_HOME": str(tmp_path), "PATH": "/usr/bin"}
    for said in ("it was at none", f"it was at {HEAD}"):
        done = subprocess.run(
            [sys.executable, "-m", "serving.feedback", "migrate"],
            cwd=repository, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == f"The feedback log is at step {HEAD}; {said}.\n"
    log = FeedbackLog.open(postgresql_url, default=tmp_path)
    assert log.add([event("e1")]).result(10) == [True]
    log.close()


@pytest.mark.parametrize("url", ["mysql://shop/log", "feedback.db", "sqlite://"])
def test_another_database_is_refused_and_no_password_shown(url, tmp_path):
    with pytest.raises(PlatformError, match=r"must begin with sqlite:/// or postgresql://. Received: \w"):
        engine_of(url, default=tmp_path)


def test_a_log_that_cannot_be_written_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="Make AISLE_HOME writable, or set AISLE_FEEDBACK_URL"):
        FeedbackLog.open(None, default=tmp_path / "file" / "feedback.db")
