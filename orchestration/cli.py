"""The command `aisle`.

What it is told is what the environment variables say, in other words: each option sets one of them for this process and
whatever it starts.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from ml.contract.errors import AisleError
from ml.contract.files import DEVELOPMENT_API_KEY
from orchestration.settings import PlatformSettings, utc_now
from orchestration.terminal import Terminal, output_kept_in

OPTIONS = {
    "--home": "folder of all state",
    "--source": "demo, files or bigquery",
    "--mapping": "YAML that names the files or tables and their columns",
    "--data-dir": "folder of the mapped files",
    "--as-of": "last complete day, YYYY-MM-DD",
    "--shop-size": "tiny, demo or large",
    "--shop-seed": "seed of the demo shop",
    "--recipe": "YAML of the methods to use",
}
"""Each is the environment variable AISLE_<NAME>."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    with Terminal.of_process() as terminal:
        chosen = _parser().parse_args(arguments)
        _tell_environment(chosen)
        return _run(chosen, terminal)


def _run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """The exit code of a command; what a person can mend is said, not traced."""
    command: Callable[[argparse.Namespace, Terminal], int] = chosen.command
    try:
        return command(chosen, terminal)
    except ValidationError as error:
        for problem in error.errors():
            terminal.say(
                f"{'.'.join(map(str, problem['loc'])) or 'settings'}: {problem['msg'].removeprefix('Value error, ')}"
            )
    except AisleError as error:
        terminal.say(str(error))
    except KeyboardInterrupt:
        terminal.say("Stopped.")
    return 1


def demo(_chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Raw events of the demo shop to lists over HTTP."""
    settings = PlatformSettings()
    if not _already_released(settings, terminal) and not _run_everything(settings, terminal):
        return 1
    return _show(settings, terminal)


def run(_chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Every day of the source, through to the release and its lists."""
    settings = PlatformSettings()
    return _show(settings, terminal) if _run_everything(settings, terminal) else 1


def dev(_chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Dagster, the service and MLflow until Ctrl-C."""
    from orchestration.calendar import remember
    from orchestration.development import Ports, programs
    from orchestration.supervisor import supervise

    settings, ports = PlatformSettings(), Ports()
    remember(settings, now=utc_now())
    started = programs(settings, ports)
    names = {program.name for program in started} | {"console"}  # a page of the service
    for name, address in ports.addresses().items():
        if name in names:
            terminal.say(f"{name:<8} {address}")
    terminal.say(f"{'API key':<8} in {settings.home / DEVELOPMENT_API_KEY}, made when the service starts")
    terminal.say("Ctrl-C stops all of them.\n")
    return supervise(started, say=terminal.say)


def releases(_chosen: argparse.Namespace, terminal: Terminal) -> int:
    """What is published; the live one has a mark."""
    from orchestration.resources.releases import ReleaseStore

    found = ReleaseStore.of(PlatformSettings()).published()
    for release in found:
        terminal.say(
            f"{'*' if release.is_live else ' '} {release.version}  data until {last_day_before(release.cut_at)}"
        )
    if not found:
        terminal.say("Nothing is released yet. Run `make demo`, or `aisle run` on your own data.")
    return 0


def rollback(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Make an older release the live one, here and in the registry."""
    from orchestration.resources.releases import ReleaseStore

    releases = ReleaseStore.of(PlatformSettings())
    pointer = releases.rollback(to=chosen.to)
    terminal.say(f"Live again: {pointer.version} (before: {pointer.previous}). Running services follow by themselves.")
    restored = releases.registry().restore(pointer.version)
    terminal.say(f"Registry: `champion` is version {restored.number}.")
    return 0


def search(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Try the recipes of a search space on the weeks before the test week; an interrupted search goes on."""
    from orchestration.experimenting import search_recipes

    return 0 if search_recipes(PlatformSettings(), chosen.space, trials=chosen.trials, terminal=terminal) else 1


def compare(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Recipes side by side on the weeks before the test week, held against the first."""
    from orchestration.experimenting import compare_recipes

    return 0 if compare_recipes(PlatformSettings(), chosen.recipes, weeks=chosen.weeks, terminal=terminal) else 1


def _run_everything(settings: PlatformSettings, terminal: Terminal) -> bool:
    from orchestration.calendar import remember

    # Before the graph is imported: its partitions begin on the day written down here.
    calendar = remember(settings, now=utc_now())
    terminal.say(
        f"{settings.source} source, {calendar.first_day} to {calendar.until(utc_now())}; state in {settings.home}"
    )
    started = time.monotonic()
    terminal.hint("loading the asset graph")
    log = settings.home / "logs" / "run.log"
    with output_kept_in(log):
        from orchestration.definitions import defs
        from orchestration.run import history_of, run_job, whole_range

        with history_of(settings) as instance:
            finished = run_job(defs, "train_and_release", instance, terminal=terminal, tags=whole_range(calendar))
            if finished.success:
                # After the release: drift is measured against the champion, and the first one has only just been made.
                run_job(defs, "check_drift", instance, terminal=terminal)
    terminal.say(f"\n{finished.progress.table()}\n  {'with start':<12}{time.monotonic() - started:8.1f} s")
    if not finished.success:
        terminal.say(
            f"\nThe run failed. All that was printed is in {log}; `make dev` shows run {finished.run_id} in the Dagster UI."
        )
        for failure in finished.progress.failures:
            terminal.say(f"- {failure}")
    return finished.success


def _show(settings: PlatformSettings, terminal: Terminal) -> int:
    """What the release is worth, what it answers, and where to look further."""
    from orchestration.development import Ports
    from orchestration.resources.releases import ReleaseStore
    from orchestration.showcase import show_lists, show_report

    if not ReleaseStore.of(settings).live_bundle():
        terminal.say("\nThe candidate did not pass the gate, so there is no release to ask; the reasons stand above.")
        return 1
    show_report(settings, say=terminal.say)
    terminal.say("\nStarting the service on the live release and asking it for lists.")
    show_lists(settings, say=terminal.say)
    terminal.say("\nTo look further: `make dev` starts")
    for name, address in Ports().addresses().items():
        terminal.say(f"  {name:<8} {address}")
    return 0


def _already_released(settings: PlatformSettings, terminal: Terminal) -> bool:
    """Whether the live release is of the newest day."""
    from orchestration.calendar import calendar_of
    from orchestration.resources.releases import ReleaseStore

    live = [release for release in ReleaseStore.of(settings).published() if release.is_live]
    newest = calendar_of(settings, now=utc_now()).until(utc_now())
    if not live or last_day_before(live[0].cut_at) != newest:
        return False
    terminal.say(f"Reusing release {live[0].version} with data until {newest}. Delete {settings.home} to start over.")
    return True


def last_day_before(cut_at: datetime) -> date:
    """The last day a cut knows all of."""
    return cut_at.date() - timedelta(days=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aisle", description="From a shop's own events to recommendations.")
    commands = parser.add_subparsers(required=True, metavar="command")
    subs = {}
    for command in (demo, run, dev, releases, rollback, search, compare):
        subs[command] = sub = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(command=command)
        for option, meaning in OPTIONS.items():
            sub.add_argument(option, help=meaning)
    subs[rollback].add_argument("--to", help="version to return to; the one that was live before when left out")
    subs[search].add_argument("space", type=Path, help="YAML of what is searched")
    subs[search].add_argument("--trials", type=int, help="recipes to try in all; what the file says when left out")
    subs[compare].add_argument(
        "recipes", type=Path, nargs="+", help="YAML files; the first is what others are held against"
    )
    subs[compare].add_argument("--weeks", type=int, default=2, help="weeks before the test week, 2 when left out")
    return parser


def _tell_environment(chosen: argparse.Namespace) -> None:
    for option in OPTIONS:
        name = option.removeprefix("--").replace("-", "_")
        if (value := getattr(chosen, name)) is not None:
            os.environ[f"AISLE_{name.upper()}"] = value


def entry_point() -> int:
    """The command as a program of its own."""
    code = main()
    # DuckDB 2.0 prints a page about references its binding leaked when the interpreter ends. Nobody can act on it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return code


if __name__ == "__main__":
    sys.exit(entry_point())
