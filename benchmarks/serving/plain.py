"""The plain design: what a competent engineer builds from the tutorials of TFRS, LightGBM and FastAPI. `python -m benchmarks.serving.plain`

The model is loaded once and warm, the endpoint is a `def` in FastAPI's thread pool, one worker, features in dictionaries by id as a feature
store hands them out. Towers, items, users, features and ranker are the bundle's. It does less than Aisle: one source of candidates, no rules
but stock, no API key, no log of what was shown, no metrics, no record why.
"""

import os
from datetime import UTC, datetime
from math import log, nan
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs  # registers ScaNN's operations
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from ml.contract.columns import ITEM_FEATURES, USER_FEATURES
from ml.contract.events import EVENT_TYPES
from ml.contract.release import ReleasePointer
from ml.features.history import SECONDS_PER_DAY
from ml.features.transforms import cyclical_time
from ml.runtime.bundle import Names
from ml.runtime.enrich import FEATURES
from ml.runtime.items import ItemTable
from ml.runtime.users import UserTable

HISTORY = 20
assert tfrs.__version__

Row = dict[str, Any]


class Recommendation(BaseModel):
    product_id: str
    name: str | None
    category: str | None
    price: float | None
    image_url: str | None
    score: float
    position: int


class Recommendations(BaseModel):
    user_id: str
    recommendations: list[Recommendation]
    generated_at: datetime


def items_by_id(folder: Path) -> dict[str, Row]:
    return {row["item_id"]: row for row in ItemTable.load(folder / Names.ITEMS).table.to_pylist()}


def users_by_id(folder: Path, item_ids: list[str]) -> dict[str, Row]:
    """Attributes, features and the events of each user, newest last."""
    table = UserTable.load(folder / Names.USERS)
    users = {}
    for number, row in enumerate(table.table.to_pylist()):
        history = table.histories.of_user(number)
        row["events"] = [
            (item_ids[item], str(EVENT_TYPES[code]), at)
            for item, code, at in zip(
                history.item_rows.tolist(), history.event_codes.tolist(), history.occurred_at.tolist(), strict=True
            )
        ]
        users[row["user_id"]] = row
    return users


def query_of(user: Row, at: int) -> dict[str, Any]:
    """What both signatures take: the user, and the newest events padded to twenty."""
    newest = user["events"][: -HISTORY - 1 : -1]
    padding = [""] * (HISTORY - len(newest))
    ages = [(at - happened) / SECONDS_PER_DAY for _, _, happened in newest]
    return {
        "user_id": tf.constant([user["user_id"]]),
        "country": tf.constant([user["country"]]),
        "segment": tf.constant([user["segment"]]),
        "history_item_ids": tf.constant([[item for item, _, _ in newest] + padding]),
        "history_event_types": tf.constant([[kind for _, kind, _ in newest] + padding]),
        "history_age_days": tf.constant([ages + [0.0] * len(padding)], tf.float32),
        "requested_at": tf.constant([at], tf.int64),
    }


def context_of(user: Row, items: dict[str, Row], at: int) -> Row:
    """Features that are the same for all candidates of a request."""
    events = user["events"]
    prices = [log(max(items[item]["mean_price"], 0.01)) for item, _, _ in events[-50:]]
    return {
        **{f"user_{name}": user[name] for name in USER_FEATURES},
        "history_length": len(events),
        "history_distinct": len({item for item, _, _ in events}),
        "history_days_since_last": (at - events[-1][2]) / SECONDS_PER_DAY if events else nan,
        "own_mean_price": sum(prices) / len(prices) if prices else nan,
        **dict(
            zip(("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"), cyclical_time(np.array([at]))[0], strict=True)
        ),
    }


def own_counts(user: Row, at: int) -> dict[str, Row]:
    """What the user did with each item."""
    counts: dict[str, Row] = {}
    names = {"purchase": "own_purchases", "view": "own_views", "cart_add": "own_cart_adds", "return": "own_returns"}
    for item, kind, happened in user["events"]:
        row = counts.setdefault(item, {})
        if kind in names:
            row[names[kind]] = row.get(names[kind], 0) + 1
        row["own_days_since_last"] = (at - happened) / SECONDS_PER_DAY
    return counts


def affinities(user: Row, items: dict[str, Row], name: str) -> dict[str, float]:
    """Share of the user's events by category, sub-category or brand."""
    counts: dict[str, float] = {}
    for item, _, _ in user["events"]:
        counts[items[item][name]] = counts.get(items[item][name], 0.0) + 1 / len(user["events"])
    return counts


def create_app(home: Path, saved_model: Path) -> FastAPI:
    releases = home / "releases"
    folder = ReleasePointer.read(releases).bundle_in(releases)
    model = tf.saved_model.load(str(saved_model))
    retrieve, rate = model.signatures["serving_default"], model.signatures["serve_ranking"]
    booster = lightgbm.Booster(model_file=str(folder / Names.RANKER))
    items = items_by_id(folder)
    users = users_by_id(folder, list(items))
    shop_users = shop_user_ids(users)
    app = FastAPI()

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/recommendations/homepage")
    def homepage(user_id: str, limit: int = 12) -> Recommendations:
        now = datetime.now(UTC)
        at = int(now.timestamp())
        user = users[shop_users[user_id]]
        query = query_of(user, at)
        found = retrieve(**query)
        product_ids, scores = found["product_ids"].numpy()[0].tolist(), found["scores"].numpy()[0].tolist()
        rated = rate(**query, product_ids=tf.constant([product_ids]))
        values, conversions = (rated[name].numpy()[0].tolist() for name in ("predictions_normalized", "conversion"))
        context, own = context_of(user, items, at), own_counts(user, at)
        liked = {name: affinities(user, items, name) for name in ("category", "sub_category", "brand")}
        rows, kept = [], []
        for rank, (product_id, score, value, conversion) in enumerate(
            zip(product_ids, scores, values, conversions, strict=True), start=1
        ):
            item = items[product_id.decode()]
            if item["stock"] is not None and item["stock"] <= 0:
                continue
            price = log(max(item["price"] or item["mean_price"], 0.01))
            rows.append(
                {
                    **context,
                    **{f"item_{name}": item[name] for name in ITEM_FEATURES},
                    **own.get(item["item_id"], {}),
                    **{f"affinity_{name}": shares.get(item[name], 0.0) for name, shares in liked.items()},
                    "score_two_tower": score,
                    "share_two_tower": score / scores[0],
                    "rank_two_tower": 1 / rank,
                    "proposed_two_tower": 1,
                    "num_sources": 1,
                    "item_price": price,
                    "price_against_own_mean": price - context["own_mean_price"],
                    "head_value": value,
                    "head_conversion": conversion,
                }
            )
            kept.append(item)
        ranked = booster.predict(np.array([[row.get(name, 0.0) for name in FEATURES] for row in rows]))
        best = np.argsort(-ranked)[:limit].tolist()
        return Recommendations(
            user_id=user_id,
            recommendations=[
                Recommendation(
                    product_id=kept[row]["item_id"],
                    name=kept[row]["title"],
                    category=kept[row]["category"],
                    price=kept[row]["price"],
                    image_url=kept[row]["image_url"],
                    score=ranked[row],
                    position=position,
                )
                for position, row in enumerate(best, start=1)
            ],
            generated_at=now,
        )

    for user_id in list(shop_users)[:20]:  # warm
        homepage(user_id)
    return app


def shop_user_ids(users: dict[str, Row]) -> dict[str, str]:
    """The shop's own ids to those of the bundle: the plain design has no pseudonyms to compute."""
    from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym

    known = {
        pseudonym(user_id, DEVELOPMENT_KEY): user_id for user_id in (f"u{row:08d}" for row in range(len(users) * 2))
    }
    return {known[user_id]: user_id for user_id in users}


def main() -> None:
    app = create_app(Path(os.environ["AISLE_HOME"]), Path(os.environ["PLAIN_SAVED_MODEL"]))
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
