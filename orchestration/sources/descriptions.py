"""What each raw column means, for the catalogue of assets."""

import dagster as dg
import pyarrow as pa

INTERACTIONS = {
    "user_id": "Who; the shop's own id.",
    "item_id": "What; the shop's own id.",
    "event_type": "What was done, as the shop writes it.",
    "occurred_at": "When, UTC.",
    "event_id": "Id of the event, where the shop gives one.",
    "quantity": "Pieces.",
    "price": "Price of one piece, shop currency.",
    "order_id": "Order of a purchase or return.",
    "session_id": "Visit.",
    "request_id": "List that led here; joins impressions.",
    "received_at": "When the row arrived, UTC; null where the shop does not say.",
    "excluded_because": "Rule of the mapping that puts the row out of scope; null: in scope.",
    "source_row": "Number of the row in its file, from 1; null for a source without files.",
    "landed_on": "Partition: the day the row arrived, UTC.",
}

IMPRESSIONS = {
    "request_id": "One shown list.",
    "user_id": "To whom; the shop's own id.",
    "item_id": "What was shown.",
    "position": "Place in the list, from 1.",
    "shown_at": "When, UTC.",
    "surface": "Where in the shop.",
    "bundle_version": "What made the list.",
    "propensity": "Probability with which this item was shown at this position, in (0, 1].",
    "source": "What brought the item into the list.",
    "landed_on": "Partition: the day the row arrived, UTC.",
}

ITEMS = {
    "item_id": "The shop's own id.",
    "title": "Name shown to people.",
    "category": "Upper group.",
    "sub_category": "Lower group.",
    "brand": "Maker.",
    "seller_id": "Who sells it.",
    "description": "Text shown to people.",
    "image_url": "Picture.",
    "image_path": "The same or another picture, as a file that is read for a vector.",
    "price": "Price of one piece, shop currency.",
    "created_at": "When it came into the catalogue, UTC.",
    "is_active": "Whether it is for sale.",
    "stock": "Pieces in stock; null: not counted.",
    "region": "Where it may be sold; null: everywhere.",
}

ITEM_EMBEDDINGS = {
    "item_id": "The shop's own id.",
    "created_at": "When the item came into the catalogue, UTC.",
    "name": "The vector column, by the mapping's name for it.",
    "length": "Numbers a vector of this column must have.",
    "vector": "The numbers.",
}

ITEM_TEXT_EMBEDDINGS = {
    **ITEM_EMBEDDINGS,
    "name": "encoded_text.",
    "text_digest": "Of the text and of the encoder that read it.",
}

ITEM_IMAGE_EMBEDDINGS = {
    **ITEM_EMBEDDINGS,
    "name": "encoded_image.",
    "vector": "The numbers; none where there is a reason.",
    "image_digest": "Of the picture and of the network that read it.",
    "reason": "Why the picture could not be used.",
}

USERS = {
    "user_id": "The shop's own id.",
    "country": "Country.",
    "segment": "Group the shop puts the user in.",
    "signed_up_at": "When the user first signed up or was first seen, UTC.",
}


def column_schema(schema: pa.Schema, descriptions: dict[str, str]) -> dg.TableSchema:
    """The columns as Dagster's catalogue shows them."""
    return dg.TableSchema(
        columns=[dg.TableColumn(field.name, str(field.type), description=descriptions[field.name]) for field in schema]
    )
