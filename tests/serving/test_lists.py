"""Every place of a shop: what it shows, to whom, and what it refuses."""

import pytest

from ml.runtime.rules import Rules
from tests import world
from tests.serving.test_recommendations import HOMEPAGE, OUT_OF_STOCK, PRODUCT, ids

TOGETHER = "/api/v1/recommendations/frequently-bought-together"
CART = "/api/v1/recommendations/cart"
RANK = "/api/v1/rank"
EVENTS = "/api/v1/interactions"
EVERYTHING = [world.item_id(item) for item in range(world.NUM_ITEMS)]


def of_category(answer: dict) -> list[int]:
    return [world.category_of(int(name[1:])) for name in ids(answer)]


def posted(client, url: str, **body) -> dict:
    answer = client.post(url, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_goes_with_a_product_leaves_the_product_out(client):
    answer = client.get(f"{TOGETHER}/i002", params={"limit": 8}).json()
    assert "i002" not in ids(answer)
    assert set(of_category(answer)) == {2}
    assert answer["context"] == {"surface": "bought_together", "personalised": False, "product_id": "i002"}


def test_a_cart_gets_what_goes_with_it_and_nothing_of_itself(client):
    answer = posted(client, CART, item_ids=["i001", "i005"], limit=6)
    assert not {"i001", "i005"} & set(ids(answer))
    assert set(of_category(answer)) == {1}
    assert answer["context"]["surface"] == "cart"


def test_a_mixed_cart_gets_both_kinds(client):
    answer = posted(client, CART, item_ids=["i001", "i002"], limit=10)
    assert {1, 2} <= set(of_category(answer)[:10])


def test_a_cart_of_things_nobody_knows_gets_the_popular_list(client):
    answer = posted(client, CART, item_ids=["gift wrap"], limit=5)
    assert {item["source"] for item in answer["recommendations"]} == {"popular"}


def test_my_list_comes_back_in_the_users_order(client):
    home = client.get(HOMEPAGE, params={"user_id": "u001", "limit": 20}).json()
    shuffled = sorted(ids(home))
    answer = posted(client, RANK, item_ids=shuffled, user_id="u001")
    assert ids(answer) == ids(home)
    assert [item["score"] for item in answer["recommendations"]] == pytest.approx(
        [item["score"] for item in home["recommendations"]], abs=1e-6
    )
    assert answer["removed"] == []


def test_a_strangers_list_is_ordered_by_popularity(client):
    popular = ids(client.get(HOMEPAGE, params={"limit": 39}).json())
    answer = posted(client, RANK, item_ids=EVERYTHING)
    assert ids(answer) == popular
    assert answer["context"] == {"surface": "rank", "personalised": False, "product_id": None}


def test_what_may_not_be_shown_is_left_out_of_my_list_and_named_with_the_rules(client):
    answer = posted(client, RANK, item_ids=["nope", "i001", OUT_OF_STOCK, "i002"], exclude=["i002", OUT_OF_STOCK])
    assert ids(answer) == ["i001"]
    assert answer["removed"] == [
        {"product_id": "nope", "rules": ["unknown"]},
        {"product_id": OUT_OF_STOCK, "rules": ["out_of_stock", "excluded"]},
        {"product_id": "i002", "rules": ["excluded"]},
    ]


def test_a_limit_shortens_my_list_without_calling_it_removed(client):
    answer = posted(client, RANK, item_ids=["i001", "i002", "i003"], limit=2)
    assert (len(ids(answer)), answer["removed"]) == (2, [])


@pytest.mark.parametrize("surface", ["homepage", "cart", "rank"])
def test_a_session_without_a_user_is_understood_from_what_it_just_looked_at(client, surface):
    recent = ["i003", "i007"]
    if surface == "homepage":
        answer = client.get(HOMEPAGE, params={"recent_items": recent, "limit": 4}).json()
    elif surface == "rank":
        answer = posted(client, RANK, item_ids=EVERYTHING, recent_items=recent, limit=4)
    else:
        answer = posted(client, CART, item_ids=["i003"], recent_items=recent, limit=4)
    assert set(of_category(answer)) == {3}
    assert answer["context"]["personalised"] is True


def test_what_a_session_did_changes_its_next_list_and_nobody_elses(client):
    event = {"item_id": "i003", "event_type": "view", "session_id": "s1", "event_id": "e1"}
    assert client.post(EVENTS, json=event).status_code == 200
    mine = client.get(HOMEPAGE, params={"session_id": "s1", "limit": 4}).json()
    other = client.get(HOMEPAGE, params={"session_id": "s2", "limit": 4}).json()
    assert (set(of_category(mine)), mine["context"]["personalised"]) == ({3}, True)
    assert not other["context"]["personalised"]


def cart_add(client, item: str, **who) -> None:
    event = {"item_id": item, "event_type": "cart_add", **who}
    assert client.post(EVENTS, json=event).json()["results"][0]["status"] == "accepted"


@pytest.mark.parametrize("include", [False, True])
def test_what_lies_in_the_cart_is_shown_nowhere_unless_it_is_asked_for(client, include):
    cart_add(client, "i001", user_id="u001")
    more = {"include": ["i001"]} if include else {}
    asked = {"user_id": "u001", "limit": 100, **more}
    lists = [
        client.get(HOMEPAGE, params=asked).json(),
        client.get(f"{PRODUCT}/i005", params=asked).json(),
        client.get(f"{TOGETHER}/i005", params=asked).json(),
        posted(client, CART, item_ids=["i005"], **asked),
        posted(client, RANK, item_ids=EVERYTHING, **asked),
    ]
    assert ["i001" in ids(answer) for answer in lists] == [include] * 5
    assert lists[4]["removed"][0 if not include else -1]["rules"] == (["out_of_stock"] if include else ["in_cart"])


@pytest.mark.parametrize("url", [HOMEPAGE, f"{PRODUCT}/i001", f"{TOGETHER}/i001"])
def test_excluded_items_and_other_regions_stay_out_of_every_page(client, url):
    everything = ids(client.get(url, params={"limit": 100}).json())
    banned = everything[:5]
    answer = client.get(url, params={"limit": 100, "exclude": banned, "region": "AT"}).json()
    assert sorted(ids(answer)) == sorted(set(everything) - set(banned))


@pytest.mark.parametrize(
    ("url", "body", "field"),
    [
        (CART, {"item_ids": []}, "body.item_ids"),
        (CART, {}, "body.item_ids"),
        (CART, {"item_ids": ["i001"], "limit": 101}, "body.limit"),
        (CART, {"item_ids": ["i001"], "surprise": 1}, "body.surprise"),
        (CART, {"item_ids": ["x"] * 1001}, "body.item_ids"),
        (RANK, {"item_ids": []}, "body.item_ids"),
        (RANK, {"item_ids": ["i001"], "limit": 0}, "body.limit"),
        (RANK, {"item_ids": ["i001", ""]}, "body.item_ids.1"),
        (RANK, {"item_ids": ["i001"], "user_id": "x" * 257}, "body.user_id"),
    ],
)
def test_a_body_that_cannot_be_answered_is_422_and_says_where(client, url, body, field):
    answer = client.post(url, json=body)
    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["details"]] == [field]


def test_too_many_or_empty_ids_in_a_url_are_422(client):
    assert client.get(HOMEPAGE, params={"exclude": ["x"] * 101}).status_code == 422
    assert client.get(HOMEPAGE, params={"recent_items": [""]}).status_code == 422


def test_an_unknown_product_is_404_where_a_page_is_about_it(client):
    answer = client.get(f"{TOGETHER}/nope")
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_product")


@pytest.mark.parametrize("url", [CART, RANK])
def test_without_a_release_every_list_is_503(empty_client, url):
    answer = empty_client.post(url, json={"item_ids": ["i001"]})
    assert (answer.status_code, answer.json()["error"]) == (503, "no_bundle")


def test_every_field_of_every_list_is_described_with_an_example(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Cart", "ItemsToRank", "Recommendation", "RemovedItem", "ItemExplained", "MadeBy", "FeatureSaid"):
        for field, said in schemas[name]["properties"].items():
            assert said.get("description") or said.get("examples") or "$ref" in str(said), f"{name}.{field}"
    paths = client.get("/openapi.json").json()["paths"]
    assert all(paths[path] for path in (CART, RANK, f"{TOGETHER}/{{item_id}}", "/api/v1/explain/{request_id}"))


def test_every_rule_says_what_it_does():
    assert all(field.description for field in Rules.model_fields.values())
