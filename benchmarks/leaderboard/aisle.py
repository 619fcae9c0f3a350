"""Aisle itself."""
from benchmarks.leaderboard.contest import Contest
from ml.contract.types import Rows

NAME = "aisle"


def lists(contest: Contest, *, seed: int) -> dict[str, Rows]:
    raise NotImplementedError
