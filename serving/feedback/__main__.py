"""`python -m serving.feedback migrate`: brings the tables of AISLE_FEEDBACK_URL to this version."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from ml.contract.errors import AisleError
from serving.feedback.engine import engine_of
from serving.feedback.migrate import migrate
from serving.feedback.schema import HEAD
from serving.settings import ServiceSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.feedback", description="Tables of the feedback log.")
    parser.add_argument("command", choices=["migrate"], help="take the steps that are missing")
    parser.parse_args(arguments)
    try:
        settings = ServiceSettings()
        engine = engine_of(settings.feedback_address, default=settings.feedback_path)
        before = migrate(engine)
        engine.dispose()
    except (AisleError, SQLAlchemyError, ValidationError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"The feedback log is at step {HEAD}; it was at {before or 'none'}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
