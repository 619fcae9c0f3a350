"""The rows of one set as a table: markdown for people, JSON beside it for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.leaderboard.datasets import Dataset
from benchmarks.leaderboard.entry import Entry
from benchmarks.scale import renewed
from ml.evaluation.intervals import Interval, mean_interval, paired_interval

RESULTS = Path("benchmarks", "leaderboard", "results")
PAGE, README = Path("docs", "leaderboard.md"), Path("README.md")
SHORT = ("online_retail", "gowalla", "beauty")
"""Sets the README shows, by their first metric."""


@dataclass(frozen=True)
class Table:
    """All rows of a set that have been run."""

    dataset: Dataset
    entries: tuple[Entry, ...]
    """The best by the first metric first."""

    @classmethod
    def of(cls, dataset: Dataset, folder: Path) -> Self:
        """Of what is kept in the set's folder."""
        entries = [Entry.load(path) for path in sorted((folder / dataset.name).glob("*.json"))]
        return cls(
            dataset, tuple(sorted(entries, key=lambda entry: -float(np.nanmean(entry.values[dataset.metrics[0]]))))
        )

    @property
    def best_peer(self) -> Entry:
        """By the first metric.

        Raises:
            ValueError: no peer has been run.
        """
        for entry in self.entries:
            if not entry.ours:
                return entry
        raise ValueError(f"A table needs at least one peer. Received: none of {self.dataset.name}. Run one first.")

    def row(self, entry: Entry) -> dict[str, Any]:
        """Everything about one row, with intervals over users and, against the best peer, paired ones."""
        best = self.best_peer
        return {
            "system": entry.system,
            "ours": entry.ours,
            "values": {
                metric: _bounds(mean_interval(values, owners=entry.owners)) for metric, values in entry.values.items()
            },
            "against_best_peer": {
                metric: _bounds(paired_interval(values, best.values[metric], owners=entry.owners).ratio)
                for metric, values in entry.values.items()
            },
            "by_contest": {
                metric: [
                    round(float(np.nanmean(values[entry.contests == each])), 5) for each in np.unique(entry.contests)
                ]
                for metric, values in entry.values.items()
            },
            "choices": dict(entry.choices),
            "trials": entry.trials,
            "cpu_seconds": entry.cpu_seconds,
            "search_cpu_seconds": entry.search_cpu_seconds,
            "peak_mb": entry.peak_mb,
        }

    def facts(self) -> dict[str, Any]:
        """The whole table as JSON."""
        return {
            "dataset": self.dataset.name,
            "rules": self.dataset.rules,
            "best_peer": self.best_peer.system,
            "rows": [self.row(entry) for entry in self.entries],
            "published": {name: list(values) for name, values in self.dataset.published.items()},
        }

    def markdown(self) -> str:
        facts = self.facts()
        metrics = self.dataset.metrics
        heads = [f"{metric} | / {facts['best_peer']}" for metric in metrics]
        lines = [
            f"### {self.dataset.title}",
            "",
            self.dataset.rules,
            "",
            f"| system | {' | '.join(heads)} | CPU s | trials | CPU s of the search | peak MB | chosen |",
            "|---" * (len(metrics) * 2 + 6) + "|",
            *(_line(row, metrics) for row in facts["rows"]),
        ]
        for name, values in facts["published"].items():
            cells = " | ".join(f"{value:.4f} | –" for value in values)
            lines.append(f"| *{name}, as published* | {cells} | – | – | – | – | – |")
        return "\n".join([*lines, ""])


def write(tables: Sequence[Table], root: Path) -> None:
    """The results, the page and the README's table."""
    (root / RESULTS).mkdir(parents=True, exist_ok=True)
    for table in tables:
        (root / RESULTS / f"{table.dataset.name}.json").write_text(json.dumps(table.facts(), indent=1) + "\n")
    whole = "\n".join(table.markdown() for table in tables)
    _renew(root / PAGE, whole)
    _renew(root / README, short(tables))


def short(tables: Sequence[Table]) -> str:
    """Aisle's best row and the three best peers on each set, by its first metric."""
    parts = ["| set | metric | system | value | / best peer |", "|---|---|---|---|---|"]
    for table in tables:
        if table.dataset.name in SHORT:
            metric = table.dataset.metrics[0]
            ours = [entry for entry in table.entries if entry.ours][:1]
            peers = [entry for entry in table.entries if not entry.ours][:3]
            for entry in sorted([*ours, *peers], key=table.entries.index):
                row = table.row(entry)
                name = f"**{entry.system}**" if entry.ours else entry.system
                cells = [table.dataset.title, metric, name, _told(row["values"][metric], 4)]
                parts.append(f"| {' | '.join(cells)} | {_told(row['against_best_peer'][metric], 3)} |")
    return "\n".join(parts)


def _line(row: dict[str, Any], metrics: Sequence[str]) -> str:
    cells = [f"{_told(row['values'][metric], 4)} | {_told(row['against_best_peer'][metric], 3)}" for metric in metrics]
    choices = ", ".join(f"{name} {value}" for name, value in row["choices"].items()) or "–"
    name = f"**{row['system']}**" if row["ours"] else row["system"]
    costs = f"{row['cpu_seconds']:.0f} | {row['trials']} | {row['search_cpu_seconds']:.0f} | {row['peak_mb']:.0f}"
    return f"| {name} | {' | '.join(cells)} | {costs} | {choices} |"


def _bounds(interval: Interval) -> list[float] | None:
    if interval.mean is None or interval.low is None or interval.high is None:
        return None
    return [round(value, 5) for value in (interval.mean, interval.low, interval.high)]


def _told(bounds: list[float] | None, digits: int) -> str:
    if bounds is None:
        return "–"
    mean, low, high = (f"{value:.{digits}f}" for value in bounds)
    return f"{mean} [{low}, {high}]"


def _renew(path: Path, table: str) -> None:
    path.write_text(renewed(path.read_text(), table, mark="leaderboard"))
