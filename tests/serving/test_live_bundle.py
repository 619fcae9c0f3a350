import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads

import pyarrow as pa
import pytest

from ml.contract.errors import BundleError, ReleaseError
from ml.contract.manifest import FileList, Manifest
from ml.contract.release import ReleasePointer, manifest_sha256
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.release.publish import publish, rollback
from ml.runtime.bundle import open_bundle
from ml.runtime.golden import Golden
from ml.runtime.items import ItemTable
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from serving import live_bundle
from serving.app import create_app
from serving.live_bundle import LiveBundle, warm
from serving.settings import ServiceSettings
from tests.serving.conftest import NOW, TestClient, copy_with_a_broken_file, wait_until

HOMEPAGE = "/api/v1/recommendations/homepage"
ROUTES_OF_A_BUNDLE = [HOMEPAGE, "/api/v1/recommendations/product/i001", "/api/v1/model", "/readyz"]


def version_of(client: TestClient) -> str:
    return client.get("/readyz").json()["bundle_version"]


@pytest.mark.parametrize("url", ROUTES_OF_A_BUNDLE)
def test_without_a_release_the_answer_is_503_and_says_what_to_run(empty_client, url):
    answer = empty_client.get(url)
    assert answer.status_code == 503
    assert answer.json()["error"] == "no_bundle"
    assert "make demo" in answer.json()["message"]
    assert "make demo" in answer.json()["remedy"]
    assert int(answer.headers["Retry-After"]) > 0


def test_a_process_without_a_release_is_alive(empty_client):
    assert empty_client.get("/healthz").json() == {"status": "alive"}


def test_a_first_release_is_served_without_a_restart(empty_client, tmp_path, bundles):
    publish(bundles[0], releases=tmp_path / "releases", now=NOW)
    wait_until(lambda: empty_client.get("/readyz").status_code == 200)
    assert empty_client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name


def test_ready_names_the_version_and_nothing_refused(client, bundles):
    assert client.get("/readyz").json() == {
        "status": "ready",
        "bundle_version": bundles[0].name,
        "refused": None,
        "mirror": None,
    }


def test_the_model_route_says_where_the_bundle_comes_from(client, bundles):
    facts = client.get("/api/v1/model").json()
    manifest = open_bundle(bundles[0]).manifest
    assert facts["bundle_version"] == manifest.version
    assert datetime.fromisoformat(facts["cut_at"]) == manifest.facts.cut_at
    assert (facts["num_items"], facts["num_users"]) == (manifest.facts.num_items, manifest.facts.num_users)
    assert datetime.fromisoformat(facts["released_at"]) == NOW
    assert facts["previous_version"] is None


def test_swaps_under_requests_lose_none_and_never_mix_two_versions(client, home, bundles):
    opened = {folder.name: open_bundle(folder) for folder in bundles}
    user = pseudonym("u003", DEVELOPMENT_KEY)
    over = Event()

    def ask() -> list[dict]:
        answers = []
        while not over.is_set():
            answer = client.get(HOMEPAGE, params={"user_id": "u003", "limit": 10})
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
        return answers

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for folder in (bundles[1], bundles[0], bundles[1]):
                publish(folder, releases=home / "releases", now=NOW)
                wait_until(lambda wanted=folder.name: version_of(client) == wanted)
        finally:
            over.set()
        answers = [answer for future in asking for answer in future.result()]
    assert {answer["bundle_version"] for answer in answers} == set(opened)
    for answer in answers:
        bundle = opened[answer["bundle_version"]]
        now = datetime.fromisoformat(answer["generated_at"])
        expected = recommend(bundle, HomeRequest(user_id=user, limit=10), now=now)
        assert [(i["product_id"], i["score"]) for i in answer["recommendations"]] == [
            (i.item_id, i.score) for i in expected.items
        ]


def test_a_rollback_is_followed(client, home, bundles):
    publish(bundles[1], releases=home / "releases", now=NOW)
    wait_until(lambda: version_of(client) == bundles[1].name)
    rollback(home / "releases", now=NOW)
    wait_until(lambda: version_of(client) == bundles[0].name)
    assert client.get("/api/v1/model").json()["previous_version"] == bundles[1].name


def test_a_damaged_release_is_refused_the_old_one_answers_and_the_reason_is_visible(client, home, bundles):
    releases = home / "releases"
    copy_with_a_broken_file(bundles[1], releases / bundles[1].name)
    broken = {"version": bundles[1].name, "folder": bundles[1].name, "manifest_sha256": manifest_sha256(bundles[1])}
    ReleasePointer.read(releases).model_copy(update=broken).write(releases)
    wait_until(lambda: client.get("/readyz").json()["refused"] is not None)
    ready = client.get("/readyz").json()
    assert ready["bundle_version"] == bundles[0].name
    assert f"Bundle {bundles[1].name} failed its checksum on ranker.txt" in ready["refused"]["reason"]
    assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name


def release_by_hand(folder: Path, releases: Path) -> None:
    """As nothing of Aisle's does it: `publish` verifies first."""
    live = {"version": folder.name, "folder": folder.name, "manifest_sha256": manifest_sha256(releases / folder.name)}
    ReleasePointer.read(releases).model_copy(update=live).write(releases)


def flip_a_byte(bundle: Path) -> Path:
    vectors = bundle / "item_vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-5] ^= 1
    vectors.write_bytes(content)
    return bundle


def lose_a_file(bundle: Path) -> Path:
    (bundle / "query_tower.onnx").unlink()
    return bundle


def answer_otherwise(bundle: Path) -> Path:
    """A whole bundle whose models are not those that were judged: its golden answers say so, and its hashes are right."""
    golden = Golden.read(bundle)
    wrong = golden.answers[1].model_copy(update={"scores": {"i000": 99.0}})
    golden.model_copy(update={"answers": (wrong, *golden.answers[1:])}).write(bundle)
    manifest = Manifest.of(Manifest.read(bundle).facts, FileList.found_in(bundle).files)
    manifest.write(bundle)
    return bundle.rename(bundle.with_name(manifest.version))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_byte, "failed its checksum on item_vectors.npy"),
        (lose_a_file, "query_tower.onnx is missing"),
        (answer_otherwise, r"must answer golden question 1 \(homepage\) as it did when it was written. Received: "),
    ],
)
def test_a_bad_bundle_is_refused_with_its_reason_on_readyz_and_in_the_log(
    client, home, bundles, damage, reason, caplog
):
    releases = home / "releases"
    release_by_hand(damage(Path(shutil.copytree(bundles[1], releases / bundles[1].name))), releases)
    wait_until(lambda: client.get("/readyz").json()["refused"] is not None)
    assert re.search(reason, client.get("/readyz").json()["refused"]["reason"])
    assert any(re.search(f"Release refused: .*{reason}", line) for line in caplog.messages)
    assert client.get("/readyz").status_code == 200, "the old one keeps serving"
    assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name


@pytest.mark.parametrize("damage", [flip_a_byte, lose_a_file])
def test_a_process_that_starts_with_a_damaged_release_answers_from_the_one_before(home, bundles, damage, caplog):
    releases = home / "releases"
    publish(bundles[1], releases=releases, now=NOW)
    damage(releases / bundles[1].name)
    with TestClient(create_app(ServiceSettings(home=home, poll_seconds=0.02))) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["bundle_version"]) == (200, bundles[0].name)
        assert bundles[1].name in ready.json()["refused"]["reason"]
        assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name
        assert client.get("/api/v1/model").json()["released_at"] is None
        shown = client.get("/metrics").text
        assert "aisle_release_refused 1.0" in shown, "what the alert asks"
        assert "aisle_bundle_live 1.0" in shown
        assert f"Bundle {bundles[0].name} was live before and answers until the live one can." in caplog.text
        rollback(releases, now=NOW)
        wait_until(lambda: client.get("/readyz").json()["refused"] is None)
        assert version_of(client) == bundles[0].name


def test_a_live_release_that_was_mended_replaces_the_one_that_stood_in(home, bundles, monkeypatch):
    publish(bundles[1], releases=home / "releases", now=NOW)
    damaged = lose_a_file(home / "releases" / bundles[1].name)
    clock = [1000.0]
    monkeypatch.setattr(live_bundle, "monotonic", lambda: clock[0])
    live = LiveBundle(home / "releases")
    live.refresh()
    assert (live.release.bundle.version, live.release.pointer, live.swaps) == (bundles[0].name, None, 1)
    shutil.copy(bundles[1] / "query_tower.onnx", damaged)
    clock[0] += live_bundle.RETRY_SECONDS
    live.refresh()
    assert (live.release.bundle.version, live.refusal, live.swaps) == (bundles[1].name, None, 2)


@pytest.mark.parametrize("lost", ["damaged", "gone", "never there"])
def test_without_a_whole_release_before_it_a_damaged_one_is_503_with_its_own_reason(home, bundles, lost):
    releases = home / "releases"
    if lost == "never there":
        lose_a_file(releases / bundles[0].name)
    else:
        publish(bundles[1], releases=releases, now=NOW)
        lose_a_file(releases / bundles[1].name)
        lose_a_file(releases / bundles[0].name) if lost == "damaged" else shutil.rmtree(releases / bundles[0].name)
    live = LiveBundle(releases)
    live.refresh()
    version = ReleasePointer.read(releases).version
    with pytest.raises(ReleaseError, match=f"{version}.*query_tower.onnx is missing"):
        _ = live.release


def test_after_a_change_of_the_code_other_answers_are_said_but_not_refused(bundles, tmp_path, monkeypatch, caplog):
    changed = answer_otherwise(Path(shutil.copytree(bundles[1], tmp_path / bundles[1].name)))
    monkeypatch.setattr("ml.__version__", "9.9.9")
    live_bundle.ask_golden(open_bundle(changed), changed)
    assert "Written by Aisle 0.1.0, read by 9.9.9: Bundle" in caplog.text


def test_with_the_settings_of_the_default_a_rollback_is_followed(home, bundles):
    """In seconds: `benchmarks/swap_under_load` measures how many."""
    publish(bundles[1], releases=home / "releases", now=NOW)
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        rollback(home / "releases", now=NOW)
        wait_until(lambda: version_of(client) == bundles[0].name)


def test_a_service_that_stops_gives_up_the_release_it_was_opening(home, bundles, monkeypatch):
    begun = Event()

    def slow_entry(_path: Path, *, rest) -> None:
        begun.set()
        while True:
            time.sleep(0.001)
            rest()

    live = LiveBundle(home / "releases", poll_seconds=0.01)
    live.start()
    monkeypatch.setattr("serving.pace.file_entry", slow_entry)
    publish(bundles[1], releases=home / "releases", now=NOW)
    assert begun.wait(20)
    live.stop()
    assert "live-bundle" not in {thread.name for thread in enumerate_threads()}
    assert (live.refusal, live.refusals) == (None, 0), "the release is not to blame"
    assert live.release.bundle.version == bundles[0].name


def test_a_part_that_cannot_be_let_go_does_not_keep_the_log_from_being_written(home, monkeypatch):
    app = create_app(ServiceSettings(home=home))

    stop = app.state.live.stop

    def fail() -> None:
        stop()
        raise RuntimeError("something of it is left")

    monkeypatch.setattr(app.state.live, "stop", fail)
    client = TestClient(app)
    client.__enter__()
    assert client.get(HOMEPAGE, params={"user_id": "u001"}).status_code == 200
    written, visits = app.state.feedback._writer, app.state.visits
    with pytest.raises(RuntimeError, match="something of it is left"):
        client.__exit__(None, None, None)
    assert not written._thread.is_alive()
    assert written.backlog.lists == 0
    assert not visits._thread.is_alive()


@pytest.mark.parametrize("damage", ["{not json", "", '{"version": "x"}'])
def test_a_damaged_pointer_changes_nothing_but_the_reason_shown(client, home, bundles, damage):
    (home / "releases" / "current.json").write_text(damage)
    wait_until(lambda: client.get("/readyz").json()["refused"] is not None)
    assert "is not a release pointer" in client.get("/readyz").json()["refused"]["reason"]
    assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name


def test_a_vanished_pointer_changes_nothing_but_the_reason_shown(client, home, bundles):
    (home / "releases" / "current.json").unlink()
    wait_until(lambda: client.get("/readyz").json()["refused"] is not None)
    assert client.get(HOMEPAGE).json()["bundle_version"] == bundles[0].name


def test_a_good_release_after_a_refused_one_clears_the_reason(client, home, bundles):
    (home / "releases" / "current.json").write_text("broken")
    wait_until(lambda: client.get("/readyz").json()["refused"] is not None)
    (home / "releases" / "current.json").unlink()
    publish(bundles[1], releases=home / "releases", now=NOW)
    wait_until(lambda: version_of(client) == bundles[1].name)
    assert client.get("/readyz").json()["refused"] is None


def test_a_refused_release_is_tried_again_after_a_while_and_not_at_every_poll(home, bundles, monkeypatch):
    live = LiveBundle(home / "releases")
    tries = []
    monkeypatch.setattr(live_bundle, "open_bundle", lambda folder, **_: tries.append(folder) or _refuse())
    clock = [1000.0]
    monkeypatch.setattr(live_bundle, "monotonic", lambda: clock[0])
    for _ in range(5):
        live.refresh()
    assert len(tries) == 1
    clock[0] += live_bundle.RETRY_SECONDS
    live.refresh()
    assert len(tries) == 2
    monkeypatch.setattr(live_bundle, "open_bundle", open_bundle)
    clock[0] += live_bundle.RETRY_SECONDS
    live.refresh()
    assert live.release.bundle.version == bundles[0].name


def _refuse():
    raise OSError("the disk is away")


def test_what_is_live_is_not_opened_again(home, bundles, monkeypatch):
    live = LiveBundle(home / "releases")
    live.refresh()
    bundle = live.release.bundle
    monkeypatch.setattr(live_bundle, "open_bundle", lambda *_, **__: pytest.fail("opened again"))
    publish(bundles[0], releases=home / "releases", now=NOW.replace(year=2027))
    live.refresh()
    assert live.release.bundle is bundle
    assert live.release.pointer.released_at.year == 2027
    assert live.refusal is None


def test_a_pinned_version_is_served_whatever_is_released(home, bundles):
    publish(bundles[1], releases=home / "releases", now=NOW)
    settings = ServiceSettings(home=home, bundle=bundles[0].name, poll_seconds=0.02)
    with TestClient(create_app(settings)) as client:
        assert version_of(client) == bundles[0].name
        assert client.get("/api/v1/model").json()["released_at"] is None


def test_a_pinned_version_that_is_not_there_is_503_and_named(home):
    with TestClient(create_app(ServiceSettings(home=home, bundle="2020-01-01-absent"))) as client:
        answer = client.get(HOMEPAGE)
    assert answer.status_code == 503
    assert "2020-01-01-absent" in answer.json()["message"]


def test_a_bundle_in_a_folder_of_another_name_is_refused(home, bundles):
    shutil.copytree(bundles[1], home / "releases" / "2026-01-01-renamed")
    live = LiveBundle(home / "releases", pin="2026-01-01-renamed")
    live.refresh()
    with pytest.raises(ReleaseError, match=f"Expected bundle 2026-01-01-renamed .* Received: {bundles[1].name}"):
        _ = live.release


def test_before_the_first_attempt_it_says_that_it_is_opening(tmp_path):
    with pytest.raises(ReleaseError, match="still being opened"):
        _ = LiveBundle(tmp_path).release


def test_a_bundle_that_answers_with_nothing_is_refused(bundles, monkeypatch):
    bundle = open_bundle(bundles[0])
    empty = replace(recommend(bundle, HomeRequest(), now=NOW), items=())
    monkeypatch.setattr(live_bundle, "recommend", lambda *_args, **_kwargs: empty)
    with pytest.raises(BundleError, match=r"must answer a question for homepage.*Received: an empty list"):
        warm(bundle, now=NOW)


def test_a_bundle_with_nothing_in_stock_may_answer_with_nothing(bundles):
    bundle = open_bundle(bundles[0])
    table = bundle.items.table
    sold_out = table.set_column(table.schema.get_field_index("stock"), "stock", pa.array([0] * len(table), pa.int64()))
    warm(replace(bundle, items=ItemTable(sold_out)), now=NOW)


def test_following_ends_with_the_service_and_begins_anew_with_it(home):
    app = create_app(ServiceSettings(home=home, poll_seconds=3600))
    for _ in range(2):
        with TestClient(app) as client:
            assert "live-bundle" in {thread.name for thread in enumerate_threads()}
            assert client.get("/readyz").status_code == 200
        assert "live-bundle" not in {thread.name for thread in enumerate_threads()}
