"""A small shop whose weeks are alike until something is planted."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

MONDAY = datetime(2026, 6, 1)


def items(num_items: int = 60, *, price_factor: float = 1.0) -> pa.Table:
    rng = np.random.default_rng(5)
    return pa.table(
        {
            "item_id": [f"i{row}" for row in range(num_items)],
            "category": [f"c{row % 6}" for row in range(num_items)],
            "price": rng.lognormal(3, 0.8, num_items) * price_factor,
        }
    )


def interactions(
    *, days: int, start: datetime = MONDAY, seed: int = 1, taste: int = 0, price_factor: float = 1.0
) -> pa.Table:
    """Events of whole days. Saturdays and Sundays are three times as busy and browse more; `taste` shifts what is popular."""
    rng = np.random.default_rng(seed)
    per_day = [300 * (3 if (start + timedelta(days=day)).weekday() >= 5 else 1) for day in range(days)]
    day_of_event = np.repeat(np.arange(days), per_day)
    weekend = np.isin((start.weekday() + day_of_event) % 7, (5, 6))
    num_events = len(day_of_event)
    popular = (rng.zipf(1.5, num_events) - 1) % 60
    rows = (popular + taste) % 60
    listed = items(price_factor=price_factor)["price"].to_numpy()
    seconds = day_of_event * 86_400 + np.clip(rng.normal(15, 4, num_events), 0, 23.9) * 3600
    return pa.table(
        {
            "user_id": [f"u{user}" for user in rng.integers(0, 400, num_events)],
            "item_id": [f"i{row}" for row in rows],
            "event_type": np.where(rng.random(num_events) < np.where(weekend, 0.9, 0.7), "view", "purchase"),
            "occurred_at": pa.array(np.datetime64(start, "us") + (seconds * 1e6).astype("timedelta64[us]")),
            "quantity": rng.integers(1, 4, num_events).astype(float),
            "price": listed[rows],
        }
    )
