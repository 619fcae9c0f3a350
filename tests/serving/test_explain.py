"""Any list that went out can be explained, also after the release that made it was replaced."""

import shutil

import pytest
from sqlalchemy import text

from ml.release.publish import publish
from ml.runtime.bundle import open_bundle
from ml.runtime.trace import RequestTrace, replayed
from tests import world
from tests.serving.conftest import NOW, wait_until
from tests.serving.test_lists import CART, EVENTS, RANK
from tests.serving.test_recommendations import HOMEPAGE, OUT_OF_STOCK, PRODUCT, ids

EXPLAIN = "/api/v1/explain"


def explained(client, request_id: str, **params) -> dict:
    answer = client.get(f"{EXPLAIN}/{request_id}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def asked(client) -> dict:
    """A list of someone who did two things after the cut."""
    for number, kind in enumerate(("view", "cart_add")):
        event = {"item_id": f"i00{number + 1}", "event_type": kind, "user_id": "u001", "event_id": f"e{number}"}
        assert client.post(EVENTS, json=event).status_code == 200
    return client.get(HOMEPAGE, params={"user_id": "u001", "limit": 6}).json()


def test_every_item_that_was_shown_is_explained_in_its_place(client, asked, bundles):
    why = explained(client, asked["request_id"])
    assert [item["product_id"] for item in why["items"]] == ids(asked)
    assert [item["position"] for item in why["items"]] == [1, 2, 3, 4, 5, 6]
    for shown, item in zip(asked["recommendations"], why["items"], strict=True):
        assert item["score"] == pytest.approx(shown["score"], abs=1e-5)
        said = sum(part["contribution"] for part in item["ranker"]["contributions"])
        assert item["ranker"]["base"] + said + item["ranker"]["others"] == pytest.approx(item["score"], abs=1e-5)
        shares = {source["source"]: source["share"] for source in item["sources"] if source["proposed"]}
        assert shares == pytest.approx(shown["sources"], abs=1e-4)
    facts = open_bundle(bundles[0]).manifest.facts
    assert why["made_by"]["bundle_version"] == asked["bundle_version"]
    assert why["made_by"]["cut_at"] == facts.cut_at.isoformat().replace("+00:00", "Z")
    assert (why["surface"], why["live_events"]) == ("homepage", 2)


@pytest.mark.parametrize(
    ("item", "rules"), [("i002", ["in_cart"]), (OUT_OF_STOCK, ["out_of_stock"]), ("nope", ["unknown"])]
)
def test_a_missing_item_is_explained_by_what_removed_it(client, asked, item, rules):
    (why,) = explained(client, asked["request_id"], product_id=item)["items"]
    assert (why["product_id"], why["position"], why["removed_by"]) == (item, None, rules)


@pytest.mark.parametrize("surface", ["product", "cart", "rank", "bought_together"])
def test_every_kind_of_list_is_explained(client, surface):
    body = {"item_ids": ["i001", "i006"], "recent_items": ["i003"]}
    lists = {
        "product": lambda: client.get(f"{PRODUCT}/i001"),
        "cart": lambda: client.post(CART, json=body),
        "rank": lambda: client.post(RANK, json=body),
        "bought_together": lambda: client.get("/api/v1/recommendations/frequently-bought-together/i001"),
    }
    answer = lists[surface]().json()
    why = explained(client, answer["request_id"])
    assert why["surface"] == surface == answer["context"]["surface"]
    assert [item["product_id"] for item in why["items"]] == ids(answer)


def test_a_trace_as_it_was_kept_gives_the_whole_answer_again(client, asked, bundles):
    trace = RequestTrace.model_validate(client.app.state.feedback.trace_of(asked["request_id"]))
    again = replayed(open_bundle(bundles[0]), trace)
    assert [(item.item_id, item.score) for item in again.items] == [
        (item["product_id"], item["score"]) for item in asked["recommendations"]
    ]
    assert world.user_id(1) not in trace.to_json()  # people are pseudonyms in all that is kept


def test_a_list_of_the_release_before_is_explained_by_the_models_that_made_it(client, home, bundles, asked):
    publish(bundles[1], releases=home / "releases", now=NOW)
    wait_until(lambda: client.get("/readyz").json()["bundle_version"] == bundles[1].name)
    why = explained(client, asked["request_id"])
    assert why["made_by"]["bundle_version"] == bundles[0].name
    assert [item["product_id"] for item in why["items"]] == ids(asked)


def test_a_list_of_a_release_nobody_kept_is_410(client, home, bundles, asked):
    publish(bundles[1], releases=home / "releases", now=NOW)
    wait_until(lambda: client.get("/readyz").json()["bundle_version"] == bundles[1].name)
    shutil.rmtree(home / "releases" / bundles[0].name)
    answer = client.get(f"{EXPLAIN}/{asked['request_id']}")
    assert (answer.status_code, answer.json()["error"]) == (410, "release_gone")
    assert bundles[0].name in answer.json()["message"]


def test_a_trace_that_another_version_of_the_service_wrote_is_410(client, asked):
    wait_until(lambda: client.app.state.feedback.backlog.lists == 0)
    with client.app.state.feedback.engine.begin() as connection:
        connection.execute(text("update requests set trace = json_remove(json_set(trace, '$.model', 1), '$.live')"))
    answer = client.get(f"{EXPLAIN}/{asked['request_id']}")
    problem = answer.json()
    assert (answer.status_code, problem["error"]) == (410, "trace_of_another_version")
    assert "Received: another one, by its fields live, model." in problem["message"]
    assert "lists of this one can be explained" in problem["remedy"]


def test_a_request_nobody_made_is_404(client):
    answer = client.get(f"{EXPLAIN}/never")
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_request")
    assert "'never'" in answer.json()["message"]


def test_an_id_no_request_can_have_is_422(client):
    assert client.get(f"{EXPLAIN}/{'x' * 65}").status_code == 422
