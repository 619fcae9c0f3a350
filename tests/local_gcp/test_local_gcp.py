"""The servers as a whole: their life, their environment, what each of them refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.local_gcp import LocalGcp
from tests.local_gcp.local_gcp import ROOT


def test_the_environment_names_every_server_and_the_account(fresh_gcp: LocalGcp) -> None:
    environment = fresh_gcp.environment()
    account = json.loads(Path(environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    assert account["token_uri"] == f"{environment['BIGQUERY_EMULATOR_HOST']}/token"
    assert (account["project_id"], environment["AISLE_GCP_PROJECT"]) == (fresh_gcp.project, fresh_gcp.project)
    assert {name: os.environ[name] for name in environment} == environment


@pytest.mark.parametrize(
    "path", ["/", "/bigquery/v2/projects/p/nowhere", "/bigquery/v2/projects/p/datasets/d/rowAccess"]
)
def test_an_unknown_route_of_bigquery_is_a_501_that_names_it(local_gcp: LocalGcp, path: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(local_gcp.bigquery_url + path, timeout=5)
    message = json.load(refused.value)["error"]["message"]
    refused.value.close()
    assert refused.value.code == 501
    assert "the route GET" in message


def test_an_unknown_route_of_storage_is_a_501(local_gcp: LocalGcp) -> None:
    watch = Request(f"{local_gcp.storage_url}/storage/v1/b/{local_gcp.bucket}/notificationConfigs", method="POST")
    with pytest.raises(HTTPError) as refused:
        urlopen(watch, timeout=5)
    refused.value.close()
    assert refused.value.code == 501


def test_by_hand_it_prints_what_a_shell_needs_and_ends_with_its_parent() -> None:
    command = [sys.executable, "-m", "tests.local_gcp", "--print-env", "--project", "by-hand"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        lines = [started.stdout.readline().strip() for _ in range(7)]
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert exported["AISLE_GCP_PROJECT"] == "by-hand"
        with urlopen(f"{exported['BIGQUERY_EMULATOR_HOST']}/healthz", timeout=5) as answer:
            assert answer.status == 200
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 0
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{exported['BIGQUERY_EMULATOR_HOST']}/healthz", timeout=5)
