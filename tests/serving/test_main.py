import os
import subprocess
import sys

import pytest


@pytest.mark.e2e
def test_in_production_it_does_not_start_without_a_key_and_says_what_to_run(tmp_path, repository):
    settings = {"AISLE_HOME": str(tmp_path), "AISLE_ENVIRONMENT": "production", "AISLE_PSEUDONYM_KEY": "the shop's own"}
    done = subprocess.run(
        [sys.executable, "-m", "serving"],
        cwd=repository, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "needs an API key. Received: none" in done.stderr
    assert "python -m serving.security new-key" in done.stderr
    assert not (tmp_path / "development_api_key").exists()
