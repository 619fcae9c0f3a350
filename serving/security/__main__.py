"""`python -m serving.security`: make, list and revoke API keys."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from ml.contract.errors import AisleError
from serving.security.keys import ApiKey, KeyFile, Scope
from serving.settings import ServiceSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    chosen = _parser().parse_args(arguments)
    now = datetime.now(UTC)
    try:
        path = ServiceSettings().api_keys_path
        if chosen.command == "new-key":
            secret, key = ApiKey.make(chosen.name, chosen.scope, now=now)
            KeyFile.change(path, lambda file: file.with_key(key))
            _say(secret)
            _say(f"This is the only time it is shown. {path} holds its hash.", to=sys.stderr)
        elif chosen.command == "revoke":
            KeyFile.change(path, lambda file: file.without(chosen.key_id, now=now))
            _say(f"Revoked: {chosen.key_id}. Running services refuse it within a second.")
        else:
            for key in KeyFile.read(path).keys:
                state = "live" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d}"
                _say(
                    f"{key.key_id}  {key.name}  {','.join(sorted(key.scopes))}  made {key.created_at:%Y-%m-%d}  {state}"
                )
    except (AisleError, ValueError) as error:
        _say(str(error), to=sys.stderr)
        return 1
    return 0


def _say(text: str, *, to: TextIO | None = None) -> None:
    (to or sys.stdout).write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.security", description="API keys of the service.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    new = commands.add_parser("new-key", help="make a key, show it once, keep its hash")
    new.add_argument("--name", required=True, help="who holds it; a name may have two live keys")
    new.add_argument(
        "--scope", required=True, action="append", type=Scope, choices=list(Scope), help="may be given twice"
    )
    commands.add_parser("list", help="what is kept of each key")
    commands.add_parser("revoke", help="end a key").add_argument("key_id", help="as `list` shows it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
