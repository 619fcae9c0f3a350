"""What is watched: a few columns per event whose distribution should not move while the shop stays the same shop."""

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa

from ml.contract.errors import DataError

WEEK = timedelta(days=7)

WATCHED = ("price", "quantity", "event_type", "category", "hour_of_day", "place_in_week_of_user", "item_rank_in_week")


def whole_weeks(first: datetime, end: datetime, *, at_most: int) -> datetime:
    """Start of the longest window of whole weeks that ends at `end`, lies after `first` and has at most so many weeks.

    Whole weeks, because weekdays and weekends differ in every shop: a window of ten days would drift by its length alone.

    Raises:
        DataError: there is not one whole week.
    """
    weeks = min((end - first) // WEEK, at_most)
    if weeks < 1:
        raise DataError(
            f"Drift compares whole weeks. Received: data from {first} to {end}, less than one. Land at least seven days."
        )
    return end - weeks * WEEK


def window_frame(interactions: pa.Table, items: pa.Table, *, ends_at: datetime) -> pd.DataFrame:
    """One row per event, one column per watched feature.

    Everything that counts (how busy a user, how popular an item) counts inside the event's own week, so that a month of
    reference and a week of live events are comparable. How busy users are is seen in the place of an event among those of its
    user's week: their number, repeated on each, would let one busy user move a bin alone. Age of a user or an item is left out on purpose: it only grows in a
    young log, and would alarm for ever.

    Args:
        interactions: Columns of `FCT_INTERACTIONS`, the window's rows and no others.
        items: Columns of `DIM_ITEMS`.
        ends_at: First instant after the window, UTC; weeks are counted back from it.
    """
    events = interactions.select(["user_id", "item_id", "event_type", "occurred_at", "quantity", "price"]).to_pandas()
    catalogue = items.select(["item_id", "category", "price"]).to_pandas().set_index("item_id")
    listed = catalogue.reindex(events["item_id"])
    # Rounded down from the end: -1 is [end - 7 days, end), the week's first instant in and its last out.
    week = ((events["occurred_at"] - pd.Timestamp(ends_at)) // pd.Timedelta(WEEK)).rename("week")
    return pd.DataFrame(
        {
            "price": events["price"].fillna(pd.Series(listed["price"].to_numpy(), events.index)),
            "quantity": events["quantity"],
            "event_type": events["event_type"],
            "category": pd.Series(listed["category"].to_numpy(), events.index, dtype=object),
            "hour_of_day": events["occurred_at"].dt.hour,
            "place_in_week_of_user": events.groupby([week, "user_id"]).cumcount() + 1,
            "item_rank_in_week": _rank_in_week(week, events["item_id"]),
        }
    )


def _rank_in_week(week: pd.Series, item_ids: pd.Series) -> pd.Series:
    """Popularity of each event's item among the items of that week: near 0 the best seller, 1 the least popular."""
    popularity = pd.DataFrame({"week": week, "item_id": item_ids}).value_counts()
    ranks = popularity.groupby("week").rank(ascending=False, method="average", pct=True)
    ranks_of_events = ranks.reindex(pd.MultiIndex.from_arrays([week, item_ids]))
    return pd.Series(ranks_of_events.to_numpy(), item_ids.index)
