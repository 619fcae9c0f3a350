"""What the console asks: whom and what to pick, what somebody did, how another release would have answered."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from ml.contract.manifest import MANIFEST
from ml.features.pseudonym import DEVELOPMENT_KEY, MARK, pseudonym
from ml.release.publish import publish
from ml.runtime.bundle import open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from serving import archive
from serving.app import create_app
from serving.archive import Archive
from serving.security.keys import ApiKey, KeyFile, Scope
from serving.settings import ServiceSettings
from tests.serving.conftest import NOW, TestClient, copy_with_a_broken_file, wait_until
from tests.serving.test_explain import EXPLAIN
from tests.serving.test_lists import EVENTS
from tests.serving.test_recommendations import HOMEPAGE, PRODUCT, ids

INSPECTION = "/api/v1/inspection"
COMPARISON = f"{INSPECTION}/comparison"


def told(client, what: str, **params) -> dict:
    answer = client.get(f"{INSPECTION}/{what}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def did(client, item: str, kind: str, **who: str) -> None:
    assert client.post(EVENTS, json={"item_id": item, "event_type": kind, **who}).status_code == 200


@pytest.fixture
def both(home, bundles):
    """The first bundle is live, the second is kept beside it."""
    publish(bundles[1], releases=home / "releases", now=NOW)
    publish(bundles[0], releases=home / "releases", now=NOW)
    return home


def test_whoever_did_something_last_comes_first_and_a_session_of_a_user_is_that_user(client):
    did(client, "i001", "view", session_id="s1")
    did(client, "i001", "view", user_id="u001", session_id="s2")
    did(client, "i002", "view", user_id="u001")
    recent = told(client, "visitors")["recent"]
    assert [(one["user_id"], one["session_id"] is None, one["events"]) for one in recent] == [
        (MARK + pseudonym("u001", DEVELOPMENT_KEY), True, 2),
        (None, False, 1),
    ]


def test_users_of_the_release_are_offered_with_what_they_like(client, bundles):
    bundle = open_bundle(bundles[0])
    known = told(client, "visitors", limit=5)["known"]
    assert len(known) == 5
    for one in known:
        history = bundle.users.of(one["user_id"].removeprefix(MARK)).history
        assert one["events"] == len(history)
        categories = bundle.items.table["category"].take(history.item_rows).to_pylist()
        assert categories.count(one["favourite_category"]) == max(map(categories.count, categories))
    assert [one["events"] for one in known] == sorted((one["events"] for one in known), reverse=True)


def test_a_person_picked_by_pseudonym_is_the_one_known_by_id(client):
    marked = MARK + pseudonym("u001", DEVELOPMENT_KEY)
    did(client, "i002", "cart_add", user_id=marked)
    by_id, by_pseudonym = (client.get(HOMEPAGE, params={"user_id": name}).json() for name in ("u001", marked))
    assert by_id["context"]["personalised"]
    assert ids(by_id) == ids(by_pseudonym)
    assert told(client, "history", user_id="u001") == told(client, "history", user_id=marked)
    assert told(client, "history", user_id="u001")["live"] == 1


def test_a_session_picked_by_pseudonym_is_the_one_known_by_id(client):
    did(client, "i001", "view", session_id="s1")
    [visitor] = told(client, "visitors")["recent"]
    did(client, "i005", "view", session_id=visitor["session_id"])
    assert [event["item"]["product_id"] for event in told(client, "history", session_id="s1")["events"]] == [
        "i005",
        "i001",
    ]


def test_only_an_admin_key_names_people_by_pseudonym(home):
    secret, key = ApiKey.make("shop", [Scope.READ, Scope.WRITE], now=datetime.now(UTC))
    KeyFile().with_key(key).write(home / "api_keys.json")
    marked = MARK + pseudonym("u001", DEVELOPMENT_KEY)
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        shop = {"Authorization": f"Bearer {secret}"}
        answer = client.get(HOMEPAGE, params={"user_id": marked}, headers=shop).json()
        assert not answer["context"]["personalised"]
        event = {"item_id": "i001", "event_type": "view", "user_id": marked}
        assert client.post(EVENTS, json=event, headers=shop).status_code == 200
        assert told(client, "history", user_id="u001")["live"] == 0


@pytest.mark.parametrize("almost", ["pseudonym:", "pseudonym:" + "a" * 31, "pseudonym:" + "G" * 32, "x" * 32])
def test_what_only_looks_like_a_pseudonym_is_an_id(client, almost):
    did(client, "i001", "view", user_id=almost)
    [visitor] = told(client, "visitors")["recent"]
    assert visitor["user_id"] == MARK + pseudonym(almost, DEVELOPMENT_KEY)


def test_history_is_the_release_s_record_and_what_came_since_newest_first(client, bundles):
    bundle = open_bundle(bundles[0])
    record = bundle.users.of(pseudonym("u001", DEVELOPMENT_KEY)).history
    did(client, "i002", "view", user_id="u001")
    past = told(client, "history", user_id="u001", limit=3)
    assert (past["total"], past["live"], past["degraded"]) == (len(record) + 1, 1, [])
    newest, *older = past["events"]
    assert (newest["item"]["product_id"], newest["event_type"], newest["is_live"]) == ("i002", "view", True)
    assert [event["item"]["product_id"] for event in older] == [
        bundle.items.vocabulary.id(row) for row in record.item_rows[-2:][::-1]
    ]
    assert not any(event["is_live"] for event in older)


def test_a_stranger_has_no_history(client):
    assert told(client, "history")["events"] == told(client, "history", user_id="nobody")["events"] == []


@pytest.mark.parametrize(("search", "found"), [("item 11", ["i011"]), ("I039", ["i039"]), ("no such", []), ("(", [])])
def test_items_are_found_by_name_and_by_id(client, search, found):
    assert [item["product_id"] for item in told(client, "items", search=search)["items"]] == found


def test_without_words_the_most_popular_items_are_offered(client, bundles):
    bundle = open_bundle(bundles[0])
    rows = bundle.sources.popularity.order[:4]
    offered = told(client, "items", limit=4)["items"]
    assert [item["product_id"] for item in offered] == [bundle.items.vocabulary.id(row) for row in rows]


def test_an_item_that_is_sold_out_is_found_and_marked(client):
    [item] = told(client, "items", search="i039")["items"]
    assert not item["available"]


def test_every_kept_release_is_named_the_live_one_first_and_damage_is_told(both, bundles):
    damaged = both / "releases" / "2026-01-01-damaged"
    shutil.copytree(bundles[1], damaged)
    manifest = json.loads((damaged / MANIFEST).read_text())
    (damaged / MANIFEST).write_text(json.dumps({**manifest, "version": "another"}))
    with TestClient(create_app(ServiceSettings(home=both))) as client:
        releases = told(client, "releases")["releases"]
    assert [one["bundle_version"] for one in releases] == [bundles[0].name, bundles[1].name, damaged.name]
    assert [one["is_live"] for one in releases] == [True, False, False]
    assert releases[0]["size_bytes"] == sum(
        path.stat().st_size for path in bundles[0].rglob("*") if path.is_file() and path.name != MANIFEST
    )
    assert "was altered" in releases[2]["problem"]


@pytest.mark.usefixtures("both")
def test_another_release_answers_the_same_question_with_the_same_events(client, bundles):
    did(client, "i002", "purchase", user_id="u003")
    asked = client.get(HOMEPAGE, params={"user_id": "u003", "limit": 8}).json()
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[1].name}).json()
    assert (answer["bundle_version"], answer["context"]) == (bundles[1].name, asked["context"])
    assert ids(answer) != ids(asked)
    other = client.app.state.archive.bundle(bundles[1].name, live=client.app.state.live.release.bundle)
    record = recommend(
        other, HomeRequest(user_id=pseudonym("u003", DEVELOPMENT_KEY), limit=8), now=datetime.fromisoformat(asked["generated_at"])
    )  # fmt: skip
    assert ids(answer) != [item.item_id for item in record.items]  # it knew of the purchase


def test_the_live_release_compared_with_itself_moves_nothing(client, bundles):
    asked = client.get(f"{PRODUCT}/i001").json()
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[0].name}).json()
    assert answer["recommendations"] == asked["recommendations"]


@pytest.mark.usefixtures("both")
def test_a_comparison_is_not_written_down_and_shown_to_nobody(client, bundles):
    asked = client.get(HOMEPAGE, params={"user_id": "u003"}).json()
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[1].name})
    assert client.get(f"{EXPLAIN}/{asked['request_id']}").status_code == 200
    assert client.get(f"{EXPLAIN}/{answer.json()['request_id']}").status_code == 404


@pytest.mark.parametrize(
    ("version", "status"),
    [("2020-01-01-gone", 410), ("..", 422), ("../releases", 422), ("current.json", 410), ("", 422)],
)
def test_only_a_release_that_is_kept_is_compared_with(client, version, status):
    asked = client.get(HOMEPAGE).json()
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": version})
    assert answer.status_code == status
    if status == 410:
        assert f"Received: {version}" in answer.json()["message"]


def test_a_damaged_release_is_refused_and_named(client, home, bundles):
    copy_with_a_broken_file(bundles[1], home / "releases" / bundles[1].name)
    asked = client.get(HOMEPAGE).json()
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[1].name})
    assert (answer.status_code, answer.json()["error"]) == (410, "release_damaged")
    assert "ranker.txt" in answer.json()["message"]


@pytest.mark.usefixtures("both")
def test_a_release_that_is_removed_while_it_is_opened_is_gone_and_nothing_broke(client, bundles, monkeypatch):
    asked = client.get(HOMEPAGE).json()

    def opened_too_late(folder):
        """`prune` takes the list of files first."""
        (folder / "manifest.json").unlink()
        (folder / "item_vectors.npy").unlink()
        return open_bundle(folder)

    monkeypatch.setattr(archive, "open_bundle", opened_too_late)
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[1].name})
    assert (answer.status_code, answer.json()["error"]) == (410, "release_gone")
    monkeypatch.setattr(Archive, "versions", lambda _archive: [bundles[0].name, "removed since"])
    named = {one["bundle_version"] for one in told(client, "releases")["releases"]}
    assert named == {bundles[0].name, "removed since"}


def test_a_list_of_a_release_that_was_replaced_is_asked_for_again(client, home, bundles):
    asked = client.get(HOMEPAGE).json()
    publish(bundles[1], releases=home / "releases", now=NOW)
    wait_until(lambda: client.get("/readyz").json()["bundle_version"] == bundles[1].name)
    answer = client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[0].name})
    assert (answer.status_code, answer.json()["error"]) == (410, "release_not_live")


def test_a_list_nobody_asked_for_cannot_be_compared(client, bundles):
    answer = client.get(COMPARISON, params={"request_id": "never", "version": bundles[0].name})
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_request")


@pytest.mark.usefixtures("both")
def test_one_release_beside_the_live_one_is_held_open(client, bundles):
    asked = client.get(HOMEPAGE).json()
    for _ in range(3):
        client.get(COMPARISON, params={"request_id": asked["request_id"], "version": bundles[1].name})
    lookups = client.app.state.archive.lookups
    assert (lookups["opened"], lookups["kept"]) == (1, 2)
