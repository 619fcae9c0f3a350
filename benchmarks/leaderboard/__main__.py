"""`make leaderboard`: tuned peers on public data, and Aisle's own line where it has been run.

    python -m benchmarks.leaderboard DATA_FOLDER [--dataset NAME] [--peer NAME] [--trials 8]

Lines are kept in `benchmarks/leaderboard/results.json`; a line that is there is not made again unless it is named.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.leaderboard.datasets import DATASETS, Dataset
from benchmarks.leaderboard.peers import PEERS
from benchmarks.leaderboard.search import entered

RESULTS = Path(__file__).with_name("results.json")
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dataset", choices=[dataset.name for dataset in DATASETS])
    parser.add_argument("--peer", choices=[peer.name for peer in PEERS])
    parser.add_argument("--trials", type=int, default=8, help="Combinations each peer may try; the same for all.")
    parser.add_argument("--one", action="store_true", help="Make one line in this process and print it as JSON.")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one_line(arguments)))
        return
    lines = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for dataset in DATASETS:
        if arguments.dataset in (None, dataset.name):
            lines = with_peers(lines, dataset, arguments)
    print(table(lines))


def one_line(arguments: argparse.Namespace) -> dict[str, object]:
    dataset = next(each for each in DATASETS if each.name == arguments.dataset)
    peer = next(each for each in PEERS if each.name == arguments.peer)
    entry, _ = entered(dataset, peer, arguments.folder, trials=arguments.trials, seed=SEED)
    return asdict(entry)


def with_peers(
    lines: list[dict[str, object]], dataset: Dataset, arguments: argparse.Namespace
) -> list[dict[str, object]]:
    """The lines with those of every peer, made where they are missing or asked for by name."""
    for peer in PEERS:
        there = any((line["dataset"], line["system"]) == (dataset.name, peer.name) for line in lines)
        wanted = arguments.peer == peer.name or (arguments.peer is None and not there)
        if not wanted or (peer.only_with_repeats and dataset.name != "Online Retail"):
            continue
        command = [sys.executable, "-m", "benchmarks.leaderboard", str(arguments.folder), "--one"]
        command += ["--dataset", dataset.name, "--peer", peer.name, "--trials", str(arguments.trials)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        line = json.loads(answer.stdout.splitlines()[-1])
        lines = [old for old in lines if (old["dataset"], old["system"]) != (dataset.name, peer.name)] + [line]
        RESULTS.write_text(json.dumps(lines, indent=1) + "\n")
        print(row(line), flush=True)
    return lines


def table(lines: list[dict[str, object]]) -> str:
    """Markdown, best first in each set."""
    parts = []
    for dataset in DATASETS:
        of_set = [line for line in lines if line["dataset"] == dataset.name]
        first = dataset.metrics[0]
        of_set.sort(key=lambda line: -line["values"][first][0])  # type: ignore[index]
        heads = " | ".join(dataset.metrics)
        parts.append(f"### {dataset.name}\n\n{dataset.rules}\n\n| system | {heads} | CPU s | peak MB | choices |")
        parts.append("|---|" + "---|" * (len(dataset.metrics) + 3))
        parts += [row(line) for line in of_set] + [""]
    return "\n".join(parts)


def row(line: dict[str, object]) -> str:
    values = " | ".join(f"{mean:.4f} [{low:.4f}, {high:.4f}]" for mean, low, high in line["values"].values())  # type: ignore[attr-defined]
    choices = ", ".join(f"{name} {value}" for name, value in line["choices"].items())  # type: ignore[attr-defined]
    return f"| {line['system']} | {values} | {line['cpu_seconds']} | {line['peak_mb']:.0f} | {choices or '-'} |"


if __name__ == "__main__":
    main()
