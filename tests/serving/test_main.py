import os
import signal
import subprocess
import sys

import pytest

from tests.serving.services import free_port


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


@pytest.mark.e2e
def test_told_to_stop_before_its_workers_began_it_ends_with_0_all_the_same(tmp_path, repository):
    settings = {"AISLE_HOME": str(tmp_path), "AISLE_WORKERS": "2", "AISLE_REDIS_URL": "redis://127.0.0.1:1/0"}
    with subprocess.Popen(
        [sys.executable, "-m", "serving"],
        cwd=repository, env={**os.environ, **settings, "AISLE_SERVICE_PORT": str(free_port())}, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert "2 workers answer on" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        running.stderr.read()
        assert running.wait(60) == 0
