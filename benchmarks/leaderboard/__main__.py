"""`make leaderboard`: tuned peers and Aisle on public data, the same split and budget of trials for all.

    python -m benchmarks.leaderboard DATA_FOLDER [--dataset NAME] [--system NAME] [--trials 8] [--write]

Every system runs in a process of its own. What came of it is kept in `--folder`, so a stopped run goes on where it was; delete the folder,
or what is in it of one system, to run it anew.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.leaderboard import aisle
from benchmarks.leaderboard.datasets import DATASETS, Dataset
from benchmarks.leaderboard.entry import is_kept
from benchmarks.leaderboard.peers import PEERS
from benchmarks.leaderboard.tables import Table, write

ROOT = Path(__file__).parents[2]
SYSTEMS = (*(peer.name for peer in PEERS), aisle.NAME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of online_retail, gowalla and amazon-beauty")
    parser.add_argument("--dataset", nargs="*", choices=[dataset.name for dataset in DATASETS])
    parser.add_argument("--system", nargs="*", choices=SYSTEMS)
    parser.add_argument(
        "--trials", type=int, default=8, help="combinations each peer may try; item-kNN four times as many"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".aisle-leaderboard")
    parser.add_argument(
        "--write", action="store_true", help="write the tables into the results, the docs and the README"
    )
    arguments = parser.parse_args()
    for dataset in DATASETS:
        if dataset.name in (arguments.dataset or [dataset.name]):
            for system in arguments.system or SYSTEMS:
                run(dataset, system, arguments)
            print(Table.of(dataset, arguments.folder).markdown(), flush=True)
    if arguments.write:
        write([Table.of(dataset, arguments.folder) for dataset in DATASETS], ROOT)


def run(dataset: Dataset, system: str, arguments: argparse.Namespace) -> None:
    """One system on one set, where it is asked and not kept already."""
    folder = arguments.folder / dataset.name
    if system in dataset.without or is_kept(folder, system):
        return
    command = [sys.executable, "-m", "benchmarks.leaderboard.entry", str(arguments.data), dataset.name, system]
    subprocess.run([*command, "--trials", str(arguments.trials), "--into", str(folder)], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
