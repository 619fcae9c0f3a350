from datetime import datetime

import pytest

from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.runtime.bundle import open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from serving.app import create_app
from serving.settings import ServiceSettings
from tests import world
from tests.serving.conftest import TestClient

HOMEPAGE = "/api/v1/recommendations/homepage"
PRODUCT = "/api/v1/recommendations/product"
OUT_OF_STOCK = world.item_id(world.NUM_ITEMS - 1)


def ids(answer: dict) -> list[str]:
    return [item["product_id"] for item in answer["recommendations"]]


def test_a_known_user_gets_what_they_like_best_first(client):
    answer = client.get(HOMEPAGE, params={"user_id": "u001", "limit": 5}).json()
    assert [world.category_of(int(name[1:])) for name in ids(answer)] == [world.taste_of(1)] * 5
    assert [item["position"] for item in answer["recommendations"]] == [1, 2, 3, 4, 5]
    scores = [item["score"] for item in answer["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["context"] == {"surface": "homepage", "personalised": True, "product_id": None}
    assert (answer["user_id"], answer["degraded"]) == ("u001", [])


def test_the_answer_is_the_list_of_recommend_and_nothing_else(client, bundles):
    answer = client.get(HOMEPAGE, params={"user_id": "u002", "limit": 30}).json()
    bundle = open_bundle(bundles[0])
    request = HomeRequest(user_id=pseudonym("u002", DEVELOPMENT_KEY), limit=30)
    expected = recommend(bundle, request, now=datetime.fromisoformat(answer["generated_at"]))
    assert ids(answer) == [item.item_id for item in expected.items]
    assert [item["score"] for item in answer["recommendations"]] == [item.score for item in expected.items]
    assert [item["source"] for item in answer["recommendations"]] == [item.source for item in expected.items]
    assert answer["bundle_version"] == bundle.version == bundles[0].name


def test_an_item_is_shown_with_what_a_page_needs(client):
    answer = client.get(HOMEPAGE, params={"user_id": "u001", "limit": 1}).json()
    (item,) = answer["recommendations"]
    number = int(item["product_id"][1:])
    assert item["name"] == f"Item {number}"
    assert item["category"] == f"c{world.category_of(number)}"
    assert item["price"] == 10.0 + number
    assert item["image_url"] is None
    assert item["sources"][item["source"]] == max(item["sources"].values())


@pytest.mark.parametrize("params", [{}, {"user_id": "a stranger"}])
def test_a_stranger_gets_the_popular_list_marked_as_such(client, params):
    answer = client.get(HOMEPAGE, params={**params, "limit": 7}).json()
    assert len(answer["recommendations"]) == 7
    assert {item["source"] for item in answer["recommendations"]} == {"popular"}
    assert answer["context"]["personalised"] is False


def test_users_are_looked_up_under_their_pseudonym_only(home):
    settings = ServiceSettings(home=home, pseudonym_key="another-key")
    with TestClient(create_app(settings)) as client:
        assert not client.get(HOMEPAGE, params={"user_id": "u001"}).json()["context"]["personalised"]
        raw = pseudonym("u001", DEVELOPMENT_KEY)
        assert not client.get(HOMEPAGE, params={"user_id": raw}).json()["context"]["personalised"]


@pytest.mark.parametrize("url", [HOMEPAGE, f"{HOMEPAGE}?user_id=u001", f"{PRODUCT}/i001"])
def test_every_list_is_as_long_as_asked_without_repeats_or_what_is_out_of_stock(client, url):
    everything = ids(client.get(url, params={"limit": 100}).json())
    assert len(everything) == len(set(everything)) >= world.NUM_ITEMS - 2
    assert OUT_OF_STOCK not in everything
    assert len(ids(client.get(url).json())) == 12


def test_a_products_page_shows_what_goes_with_it_and_never_itself(client):
    answer = client.get(f"{PRODUCT}/i001", params={"limit": 5}).json()
    assert "i001" not in ids(answer)
    assert {world.category_of(int(name[1:])) for name in ids(answer)} == {world.category_of(1)}
    assert answer["context"] == {"surface": "product", "personalised": False, "product_id": "i001"}


@pytest.mark.parametrize("item_id", ["nope", "85123A/blue", "%C3%A9t%C3%A9"])
def test_an_unknown_product_is_404_and_named_whatever_is_in_its_id(client, item_id):
    answer = client.get(f"{PRODUCT}/{item_id}")
    assert answer.status_code == 404
    assert answer.json()["error"] == "unknown_product"
    assert repr(item_id.replace("%C3%A9", "é")) in answer.json()["message"]


@pytest.mark.parametrize(
    ("url", "field", "received"),
    [
        (f"{HOMEPAGE}?limit=0", "query.limit", "'0'"),
        (f"{HOMEPAGE}?limit=101", "query.limit", "'101'"),
        (f"{HOMEPAGE}?limit=many", "query.limit", "'many'"),
        (f"{HOMEPAGE}?limit=1.5", "query.limit", "'1.5'"),
        (f"{HOMEPAGE}?user_id=", "query.user_id", "''"),
        (f"{HOMEPAGE}?user_id={'x' * 257}", "query.user_id", "'xxx"),
        (f"{PRODUCT}/i001?limit=-1", "query.limit", "'-1'"),
        (f"{PRODUCT}/{'x' * 257}", "path.item_id", "'xxx"),
    ],
)
def test_bad_input_is_422_and_says_what_was_wrong(client, url, field, received):
    answer = client.get(url)
    body = answer.json()
    assert answer.status_code == 422
    assert (body["error"], len(body["details"])) == ("invalid_request", 1)
    (detail,) = body["details"]
    assert detail["field"] == field
    assert detail["received"].startswith(received)
    assert len(detail["received"]) <= 200
    assert detail["expected"] in body["message"]
    assert "/docs" in body["remedy"]


def test_everything_wrong_is_said_at_once(client):
    details = client.get(f"{HOMEPAGE}?limit=0&user_id=").json()["details"]
    assert {detail["field"] for detail in details} == {"query.limit", "query.user_id"}


@pytest.mark.parametrize(("method", "url", "status"), [("GET", "/nowhere", 404), ("POST", HOMEPAGE, 405)])
def test_a_wrong_route_or_method_has_the_same_body_as_every_problem(client, method, url, status):
    answer = client.request(method, url)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message", "remedy", "details", "request_id"}
    assert status != 405 or answer.headers["Allow"] == "GET"


def test_a_defect_is_500_without_its_details_but_with_an_id_to_look_it_up(home, monkeypatch, caplog):
    def defect(*_args, **_kwargs):
        raise RuntimeError("the secret path /etc/shop")

    monkeypatch.setattr("serving.lists.recommend", defect)
    with TestClient(create_app(ServiceSettings(home=home)), raise_server_exceptions=False) as client:
        answer = client.get(HOMEPAGE, headers={"X-Request-Id": "look-me-up"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == "look-me-up"
    assert "Request look-me-up failed." in caplog.text


def test_a_callers_own_request_id_is_kept(client):
    answer = client.get(HOMEPAGE, headers={"X-Request-Id": "cart-42.a"})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "cart-42.a"


@pytest.mark.parametrize("offered", ["two words", "x" * 65, "a\tb", ""])
def test_an_id_that_could_forge_a_log_line_is_replaced(client, offered):
    answer = client.get(HOMEPAGE, headers={"X-Request-Id": offered})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] != offered
    assert len(answer.json()["request_id"]) == 16


def test_requests_have_different_ids(client):
    assert client.get("/healthz").headers["X-Request-Id"] != client.get("/healthz").headers["X-Request-Id"]
