"""Station 1: the shop's own tables, as they came."""

from datetime import date

import dagster as dg

from ml.contract.columns import (
    RAW_IMPRESSIONS,
    RAW_INTERACTIONS,
    RAW_ITEM_EMBEDDINGS,
    RAW_ITEM_IMAGE_EMBEDDINGS,
    RAW_ITEM_TEXT_EMBEDDINGS,
    RAW_ITEMS,
    RAW_USERS,
)
from orchestration.automation import EVERY_TEN_MINUTES
from orchestration.image_embeddings import ImageEmbeddings
from orchestration.partitions import daily, last_day_of
from orchestration.resources.image_encoder import ImageEncoderResource
from orchestration.resources.text_encoder import TextEncoderResource
from orchestration.resources.warehouse import Warehouse
from orchestration.settings import PlatformSettings
from orchestration.sources import descriptions
from orchestration.sources.descriptions import column_schema
from orchestration.sources.raw_tables import RawDays, RawSnapshot, digest_of
from orchestration.sources.resource import SourceResource
from orchestration.text_embeddings import TextEmbeddings

OWNERS, KINDS = ["team:data"], {PlatformSettings().warehouse_kind}


@dg.asset(
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
    kinds=KINDS,
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_INTERACTIONS, descriptions.INTERACTIONS)},
)
def interactions(
    context: dg.AssetExecutionContext, source: SourceResource, warehouse: Warehouse
) -> dg.MaterializeResult[None]:
    """What people did, dirt included: views, carts, purchases, returns. One row per row of the source.

    A partition holds the rows that *arrived* on its day, so a late row never changes an older partition. Landing a day again
    replaces it whole or, when anything fails, leaves it as it was. No row is ever dropped here: rows that a mapping declares
    out of scope carry the reason.
    """
    tables = source.tables(warehouse, until=last_day_of(context))
    return _days_result(context, tables.interactions(*window_of(context)))


@dg.asset(
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
    kinds=KINDS,
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_IMPRESSIONS, descriptions.IMPRESSIONS)},
)
def impressions(
    context: dg.AssetExecutionContext, source: SourceResource, warehouse: Warehouse
) -> dg.MaterializeResult[None]:
    """What people were shown, at which place and with what probability. One row per shown place; partitioned as
    `interactions` are. Empty where the shop does not log its lists.
    """
    tables = source.tables(warehouse, until=last_day_of(context))
    return _days_result(context, tables.impressions(*window_of(context)))


@dg.asset(
    pool="warehouse",
    kinds=KINDS,
    owners=OWNERS,
    automation_condition=EVERY_TEN_MINUTES,
    metadata={"dagster/column_schema": column_schema(RAW_ITEMS, descriptions.ITEMS)},
)
def items(
    context: dg.AssetExecutionContext, source: SourceResource, warehouse: Warehouse
) -> dg.MaterializeResult[None]:
    """The catalogue as it stands: prices, stock, what is for sale. One row per item.

    Its DataVersion is a hash of the content: what depends on it runs again only when the catalogue has changed.
    """
    return _snapshot_result(source.tables(warehouse, until=last_day_of(context)).items())


@dg.asset(
    pool="warehouse",
    kinds=KINDS,
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_ITEM_EMBEDDINGS, descriptions.ITEM_EMBEDDINGS)},
)
def item_embeddings(
    context: dg.AssetExecutionContext, source: SourceResource, warehouse: Warehouse
) -> dg.MaterializeResult[None]:
    """Vectors the shop has of its items: of texts, pictures or anything else. One row per row of the catalogue and filled vector column."""
    return _snapshot_result(source.tables(warehouse, until=last_day_of(context)).item_embeddings())


@dg.asset(
    deps=[items],
    pool="warehouse",
    kinds={*KINDS, "onnx"},
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_ITEM_TEXT_EMBEDDINGS, descriptions.ITEM_TEXT_EMBEDDINGS)},
)
def item_text_embeddings(warehouse: Warehouse, text_encoder: TextEncoderResource) -> dg.MaterializeResult[None]:
    """Vectors of titles and descriptions by the encoder that AISLE_TEXT_ENCODER names; none where it names none. A text is read once
    and again only when it, or the encoder, has changed.
    """
    encoder = text_encoder.open()
    found = TextEmbeddings.of(warehouse, encoder) if encoder else TextEmbeddings.none()
    found.land(warehouse)
    return dg.MaterializeResult(metadata=found.summary(), data_version=dg.DataVersion(digest_of(found.rows)))


@dg.asset(
    deps=[items],
    pool="warehouse",
    kinds={*KINDS, "tensorflow"},
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_ITEM_IMAGE_EMBEDDINGS, descriptions.ITEM_IMAGE_EMBEDDINGS)},
)
def item_image_embeddings(warehouse: Warehouse, image_encoder: ImageEncoderResource) -> dg.MaterializeResult[None]:
    """Vectors of pictures by EfficientNetB0 with the weights that AISLE_IMAGE_WEIGHTS names; none where it names none. A picture is encoded
    once, and again only when it, or the weights, have changed.
    """
    opened = image_encoder.open()
    found = ImageEmbeddings.of(warehouse, *opened) if opened else ImageEmbeddings.none()
    found.land(warehouse)
    return dg.MaterializeResult(metadata=found.summary(), data_version=dg.DataVersion(digest_of(found.rows)))


@dg.asset(
    pool="warehouse",
    kinds=KINDS,
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(RAW_USERS, descriptions.USERS)},
)
def users(
    context: dg.AssetExecutionContext, source: SourceResource, warehouse: Warehouse
) -> dg.MaterializeResult[None]:
    """Who the shop knows, with their own ids: these never pass the staging layer. One row per user."""
    return _snapshot_result(source.tables(warehouse, until=last_day_of(context)).users())


def window_of(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last day of the run's partitions."""
    days = context.partition_key_range
    return date.fromisoformat(days.start), date.fromisoformat(days.end)


def _days_result(context: dg.AssetExecutionContext, landed: RawDays) -> dg.MaterializeResult[None]:
    for warning in landed.warnings:
        context.log.warning(warning)
    counts = {f"rows/{kind}": rows for kind, rows in landed.rows_by_kind.items()}
    return dg.MaterializeResult(
        metadata={
            "rows": landed.rows,
            **_row_count(landed.table_rows),
            "days": (landed.end - landed.start).days + 1,
            "from_day": landed.start.isoformat(),
            "until_day": landed.end.isoformat(),
            "source": landed.source,
            **landed.layout,
            **counts,
        }
    )


def _snapshot_result(landed: RawSnapshot) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        metadata={**_row_count(landed.rows), "source": landed.source, **landed.layout},
        data_version=dg.DataVersion(landed.digest),
    )


def _row_count(rows: int | None) -> dict[str, int]:
    return {} if rows is None else {"dagster/row_count": rows}
