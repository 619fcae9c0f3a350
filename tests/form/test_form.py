"""Promises about the code as a whole that no single test of a part can hold."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "great_expectations", "evidently", "mlflow")


def test_importing_the_graph_loads_no_heavy_library(tmp_path: Path) -> None:
    """Six to seven seconds each, in the start of every run and of every page of the UI."""
    asked = f"import sys, orchestration.definitions; print(*[name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        env={**os.environ, "AISLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.split("\n")[-2].split() == []


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_download_address() -> None:
    address = re.compile(
        r"https?://[^\s\"']*(/simple\b|\.whl\b|\.tar\.gz\b|\.tgz\b)|^(--?)(extra-)?index-url|^--find-links",
        re.MULTILINE,
    )
    found = [
        path for path in tracked_files() if address.search(path.read_text(errors="ignore")) and path != Path(__file__)
    ]
    assert found == []


def test_no_tracked_file_is_large() -> None:
    assert [path for path in tracked_files() if path.stat().st_size > 1_048_576] == []
