"""Brings the log's tables to the version this code knows, and refuses tables it does not know."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from ml.contract.errors import PlatformError
from serving.feedback.engine import allowed_seconds
from serving.feedback.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import (
        Config,
    )  # imported where it is needed: it costs 0.4 s, and most starts have nothing to migrate

_MIGRATION_SECONDS = 3600.0
_LOCK_NUMBER = 4_127_650_101
"""Any number will do, as long as everybody who migrates takes the same one."""


def revision_of(connection: Connection) -> str | None:
    """The last step that was taken; None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()
    return revision


def check(engine: Engine) -> None:
    """That the tables are those of this code.

    Raises:
        PlatformError: they are older, or newer.
    """
    with engine.connect() as connection:
        revision = revision_of(connection)
    if revision == HEAD:
        return
    _refuse_unknown(revision)
    raise PlatformError(
        f"The feedback log must be at step {HEAD}. Received: {revision or 'an empty database'}. Run `python -m serving.feedback migrate`."
    )


def migrate(engine: Engine) -> str | None:
    """Take the steps that are missing, one process at a time; the step it was at before.

    Raises:
        PlatformError: the tables are of a newer version of the code.
    """
    with _alone(engine), engine.begin() as connection, allowed_seconds(connection, _MIGRATION_SECONDS):
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"select pg_advisory_xact_lock({_LOCK_NUMBER})"))
        before = revision_of(connection)
        if before != HEAD:
            _refuse_unknown(before)
            _upgrade(connection)
    return before


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _refuse_unknown(revision: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise PlatformError(
            f"The feedback log must be at a step this version knows, {HEAD} at most. Received: {revision}. "
            "It was written by a newer version of Aisle: run that one, or point AISLE_FEEDBACK_URL elsewhere."
        )


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """SQLite commits each step by itself, so processes that start together take turns by a lock file."""
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database:
        yield
        return
    path = Path(database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
