"""Names and types of every column that crosses a boundary. Instants are UTC, stored without a zone, in microseconds."""

import pyarrow as pa

INSTANT = pa.timestamp("us")

RAW_INTERACTIONS = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "event_type": pa.string(),
        "occurred_at": INSTANT,
        "event_id": pa.string(),
        "quantity": pa.float64(),
        "price": pa.float64(),
        "order_id": pa.string(),
        "session_id": pa.string(),
        "request_id": pa.string(),
        "received_at": INSTANT,
        "excluded_because": pa.string(),
        "source_row": pa.int64(),
        "landed_on": pa.date32(),
    }
)
"""As it came, dirt included. `excluded_because` holds the name of the mapping's rule that puts a row out of scope;
`landed_on` is the partition: the day the row arrived."""

RAW_IMPRESSIONS = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "position": pa.int32(),
        "shown_at": INSTANT,
        "surface": pa.string(),
        "bundle_version": pa.string(),
        "propensity": pa.float64(),
        "source": pa.string(),
        "landed_on": pa.date32(),
    }
)

RAW_ITEMS = pa.schema(
    {
        "item_id": pa.string(),
        "title": pa.string(),
        "category": pa.string(),
        "sub_category": pa.string(),
        "brand": pa.string(),
        "seller_id": pa.string(),
        "description": pa.string(),
        "image_url": pa.string(),
        "image_path": pa.string(),
        "price": pa.float64(),
        "created_at": INSTANT,
        "is_active": pa.bool_(),
        "stock": pa.int64(),
        "region": pa.string(),
    }
)

VECTOR = pa.list_(pa.float64())

RAW_ITEM_EMBEDDINGS = pa.schema(
    {
        "item_id": pa.string(),
        "created_at": INSTANT,
        "name": pa.string(),
        "length": pa.int64(),
        "vector": VECTOR,
    }
)
"""Vectors a shop has of its items, one row per row of its catalogue and vector column that is filled there. `name` is that of the
vector column, `length` the one the mapping says, `created_at` that of the catalogue's row."""

ENCODED_TEXT = "encoded_text"
"""Name of the vectors that an encoder of ours makes of titles and descriptions."""

RAW_ITEM_TEXT_EMBEDDINGS = pa.schema([*RAW_ITEM_EMBEDDINGS, pa.field("text_digest", pa.string())])
"""Of those vectors; `text_digest` tells the text and the encoder, so that neither is read twice."""

ENCODED_IMAGE = "encoded_image"
"""Name of the vectors that a network makes of pictures."""

RAW_ITEM_IMAGE_EMBEDDINGS = pa.schema(
    [*RAW_ITEM_EMBEDDINGS, pa.field("image_digest", pa.string()), pa.field("reason", pa.string())]
)
"""Of those vectors; `image_digest` tells the picture and the network, `reason` why there are no numbers."""

RAW_USERS = pa.schema({"user_id": pa.string(), "country": pa.string(), "segment": pa.string(), "signed_up_at": INSTANT})

FCT_INTERACTIONS = pa.schema(
    {
        "event_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "event_type": pa.string(),
        "occurred_at": INSTANT,
        "known_at": INSTANT,
        "quantity": pa.float64(),
        "price": pa.float64(),
        "amount": pa.float64(),
        "basket_id": pa.string(),
        "event_weight": pa.float64(),
        "event_date": pa.date32(),
        "landed_on": pa.date32(),
    }
)
"""Accepted events. `known_at` is when the shop's warehouse could first have known of the row (never before `occurred_at`);
`basket_id` is the order, else the session; `amount` is quantity x price of a purchase, else null; `landed_on`, never before
`event_date`, is the partition: a reader who bounds it below by the first day he wants pays for no older one."""

ENCODED_EVENTS = pa.schema(
    {
        "user_row": pa.int32(),
        "item_row": pa.int32(),
        "event_code": pa.int8(),
        "occurred_at": INSTANT,
        "known_at": INSTANT,
        "quantity": pa.float64(),
        "price": pa.float64(),
        "amount": pa.float64(),
        "basket_number": pa.int32(),
    }
)
"""`FCT_INTERACTIONS` without a string: what leaves the warehouse for training. Rows count from 0 in the order of the ids of
`DIM_USERS` and `DIM_ITEMS`; `basket_number` numbers a user's baskets, -1 where there is none."""

DIM_ITEMS = pa.schema(
    [*(column for column in RAW_ITEMS if column.name != "image_path"), pa.field("first_seen_at", INSTANT)]
)

DIM_ITEM_EMBEDDINGS = pa.schema({"item_id": pa.string(), "name": pa.string(), "vector": VECTOR})

DIM_USERS = pa.schema([*RAW_USERS, pa.field("first_seen_at", INSTANT)])

FEAT_ITEMS = pa.schema(
    {
        "cut_at": INSTANT,
        "item_id": pa.string(),
        "purchases_7d": pa.float64(),
        "purchases_30d": pa.float64(),
        "purchases_all": pa.float64(),
        "buyers_30d": pa.float64(),
        "buyers_all": pa.float64(),
        "views_30d": pa.float64(),
        "cart_adds_30d": pa.float64(),
        "returns_all": pa.float64(),
        "weight_decayed": pa.float64(),
        "trending": pa.float64(),
        "conversion_30d": pa.float64(),
        "days_since_first_event": pa.float64(),
        "days_since_last_purchase": pa.float64(),
        "mean_price": pa.float64(),
    }
)
"""One row per item per cut: what was known of the item just before `cut_at`."""

FEAT_USERS = pa.schema(
    {
        "cut_at": INSTANT,
        "user_id": pa.string(),
        "events_all": pa.float64(),
        "purchases_30d": pa.float64(),
        "purchases_all": pa.float64(),
        "views_30d": pa.float64(),
        "cart_adds_30d": pa.float64(),
        "orders_all": pa.float64(),
        "distinct_items": pa.float64(),
        "repeat_share": pa.float64(),
        "conversion_30d": pa.float64(),
        "mean_price": pa.float64(),
        "days_since_first_event": pa.float64(),
        "days_since_last_event": pa.float64(),
        "favourite_category": pa.string(),
    }
)
"""One row per user per cut: what was known of the user just before `cut_at`."""

ITEM_FEATURES = tuple(name for name in FEAT_ITEMS.names if name not in ("cut_at", "item_id"))
USER_FEATURES = tuple(name for name in FEAT_USERS.names if name not in ("cut_at", "user_id", "favourite_category"))
