"""A service whose releases lie in a bucket: with the network, without it, and with one that lies."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from ml.contract.manifest import MANIFEST
from ml.release.publish import publish, rollback
from ml.storage import ObjectStore, store_at
from serving.app import create_app
from serving.settings import ServiceSettings
from tests.gcs import ROOT, GcsServer
from tests.serving.conftest import NOW, TestClient, wait_until

HOMEPAGE = "/api/v1/recommendations/homepage"


@pytest.fixture
def remote(gcs: GcsServer) -> ObjectStore:
    return store_at(f"{gcs.uri}/releases")


@pytest.fixture
def publisher(tmp_path: Path) -> Path:
    """Releases of the machine that trains."""
    return tmp_path / "publisher"


@contextmanager
def service(home: Path, gcs: GcsServer, *, pin: str | None = None) -> Iterator[TestClient]:
    settings = ServiceSettings(home=home, releases=f"{gcs.uri}/releases", bundle=pin, poll_seconds=0.05)
    with TestClient(create_app(settings)) as client:
        yield client


def answers(client: TestClient, bundle: Path) -> None:
    wait_until(lambda: version_of(client) == bundle.name)


def version_of(client: TestClient) -> str | None:
    return client.get("/readyz").json().get("bundle_version")


def trouble_of(client: TestClient) -> str | None:
    return client.get("/readyz").json()["mirror"]["trouble"]


def test_a_fresh_machine_brings_the_live_release_and_answers(tmp_path, gcs, remote, publisher, bundles):
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs) as client:
        answers(client, bundles[0])
        assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name
        mirror = client.get("/readyz").json()["mirror"]
        assert mirror["remote"] == f"{gcs.uri}/releases"
        assert mirror["in_step_at"] is not None
        assert mirror["trouble"] is None


def test_before_anything_is_released_it_says_where_it_looks(tmp_path, gcs):
    with service(tmp_path / "home", gcs) as client:
        wait_until(lambda: f"Expected: {gcs.uri}/releases/current.json" in client.get("/readyz").json()["message"])
        assert client.get(HOMEPAGE).status_code == 503


def test_releases_published_while_it_serves_are_followed_and_no_request_fails(
    tmp_path, gcs, remote, publisher, bundles
):
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs) as client:
        answers(client, bundles[0])
        over = Event()

        def ask() -> list[tuple[int, str]]:
            given = []
            while not over.is_set():
                answer = client.get(HOMEPAGE)
                given.append((answer.status_code, answer.json().get("bundle_version")))
            return given

        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask) for _ in range(2)]
            try:
                publish(bundles[1], releases=publisher, now=NOW, remote=remote)
                answers(client, bundles[1])
                rollback(publisher, now=NOW, remote=remote)
                answers(client, bundles[0])
            finally:
                over.set()
            given = {pair for future in asking for pair in future.result()}
    assert given == {(200, bundles[0].name), (200, bundles[1].name)}


def test_a_restart_without_the_network_answers_from_the_last_good_copy(
    tmp_path, gcs, remote, publisher, bundles, monkeypatch
):
    monkeypatch.setattr("ml.storage.gcs.GIVE_UP_SECONDS", 10.0)
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs) as client:
        answers(client, bundles[0])
    gcs.kill()
    started = time.monotonic()
    with service(tmp_path / "home", gcs) as client:
        assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name
        assert time.monotonic() - started < 5, "it waited for the network"
        wait_until(lambda: trouble_of(client) is not None)
        assert f"{gcs.uri}/releases/current.json cannot be read" in trouble_of(client)
        assert client.get("/readyz").status_code == 200

        gcs.start()
        publish(bundles[1], releases=publisher, now=NOW, remote=remote)
        answers(client, bundles[1])
        assert trouble_of(client) is None


def test_a_first_start_without_the_network_says_why_it_cannot_answer(tmp_path, gcs):
    gcs.kill()
    with service(tmp_path / "home", gcs) as client:
        assert "is on its way here" in client.get(HOMEPAGE).json()["message"]
        wait_until(lambda: "cannot be read" in client.get(HOMEPAGE).json()["message"])


def test_a_store_that_hangs_makes_no_request_and_no_swap_wait(tmp_path, gcs, remote, publisher, bundles, monkeypatch):
    monkeypatch.setattr("ml.storage.gcs.SILENCE_SECONDS", 8.0)
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    home = tmp_path / "home"
    with service(home, gcs) as client:
        answers(client, bundles[0])
        gcs.pause()
        slowest = 0.0
        for _ in range(50):
            asked = time.monotonic()
            assert client.get(HOMEPAGE).status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
        assert slowest < 4
        # A release that reaches the folder by another way is swapped in although the store hangs.
        publish(bundles[1], releases=home / "releases", now=NOW)
        swapping = time.monotonic()
        answers(client, bundles[1])
        assert time.monotonic() - swapping < 6
        wait_until(lambda: trouble_of(client) is not None)
        gcs.resume()
        answers(client, bundles[0])


def test_a_release_damaged_in_the_bucket_is_refused_and_the_old_one_keeps_answering(
    tmp_path, gcs, remote, publisher, bundles
):
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs) as client:
        answers(client, bundles[0])
        gcs.flip_a_bit_of(f"releases/{bundles[1].name}/ranker.txt")
        publish(bundles[1], releases=publisher, now=NOW, remote=remote)
        wait_until(lambda: trouble_of(client) is not None)
        assert "ranker.txt must have md5" in trouble_of(client)
        assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name
        assert not (tmp_path / "home" / "releases" / bundles[1].name).exists()


def test_a_copy_damaged_on_this_machine_is_mended_at_the_next_start(tmp_path, gcs, remote, publisher, bundles):
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    home = tmp_path / "home"
    with service(home, gcs) as client:
        answers(client, bundles[0])
    ranker = home / "releases" / bundles[0].name / "ranker.txt"
    good = ranker.read_bytes()
    ranker.write_bytes(good[:-1] + b"!")
    with service(home, gcs) as client:
        answers(client, bundles[0])
    assert ranker.read_bytes() == good


def test_a_pinned_version_is_brought_whatever_is_live(tmp_path, gcs, remote, publisher, bundles):
    for bundle in bundles:
        publish(bundle, releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs, pin=bundles[0].name) as client:
        answers(client, bundles[0])
        assert [path.parent.name for path in (tmp_path / "home").glob(f"releases/*/{MANIFEST}")] == [bundles[0].name]


def test_a_service_that_stops_does_not_wait_for_a_store_that_hangs(
    tmp_path, gcs, remote, publisher, bundles, monkeypatch
):
    monkeypatch.setattr("ml.storage.gcs.SILENCE_SECONDS", 30.0)
    publish(bundles[0], releases=publisher, now=NOW, remote=remote)
    with service(tmp_path / "home", gcs) as client:
        answers(client, bundles[0])
        gcs.pause()
        time.sleep(0.2)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 10


def test_the_service_starts_without_googles_libraries():
    # `google` and `google.cloud` are empty name spaces, which some packages make at every start of Python.
    loaded = "[name for name in sys.modules if name.startswith(('google.cloud.', 'google.a', 'requests'))]"
    program = f"import sys; import serving.app; print({loaded})"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
