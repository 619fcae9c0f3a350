"""Station 1 as Dagster runs it: a day, a range of days in one run, and the snapshots."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from ml.contract.columns import RAW_ITEMS
from orchestration.assets import ingest
from orchestration.partitions import RANGE_END, RANGE_START, daily
from orchestration.resources.image_encoder import ImageEncoderResource
from orchestration.resources.text_encoder import TextEncoderResource
from orchestration.resources.warehouse import Warehouse
from orchestration.sources.resource import SourceResource
from tests.pictures import picture
from tests.text_model import write_text_model

ASSETS = dg.load_assets_from_modules([ingest], group_name="ingest", key_prefix="raw")
FIRST_DAY = date.fromisoformat(daily.get_first_partition_key() or "")
LAST_DAY = FIRST_DAY + timedelta(days=3)


def run(
    warehouse: Warehouse,
    *names: str,
    encoder: str | None = None,
    pictures: ImageEncoderResource | None = None,
    **tags: str,
) -> dg.ExecuteInProcessResult:
    source = SourceResource(name="demo", shop_size="tiny", opened_on=FIRST_DAY.isoformat())
    job = dg.define_asset_job("job", selection=dg.AssetSelection.assets(*(["raw", name] for name in names)))
    definitions = dg.Definitions(
        assets=ASSETS,
        jobs=[job],
        resources={
            "source": source,
            "warehouse": warehouse,
            "text_encoder": TextEncoderResource(path=encoder),
            "image_encoder": pictures or ImageEncoderResource(),
        },
    )
    return definitions.resolve_job_def("job").execute_in_process(tags=tags)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, object]:
    [materialization] = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in materialization.metadata.items()}


def test_a_range_of_days_is_one_run(warehouse: Warehouse):
    days = {RANGE_START: FIRST_DAY.isoformat(), RANGE_END: LAST_DAY.isoformat()}
    result = run(warehouse, "interactions", "impressions", **days)
    landed = warehouse.query(
        "select count(*) as n, min(landed_on) as a, max(landed_on) as b from raw.interactions"
    ).to_pylist()[0]
    assert (landed["a"], landed["b"]) == (FIRST_DAY, LAST_DAY)
    [of_interactions, *_] = result.asset_materializations_for_node("interactions")
    assert of_interactions.metadata["rows"].value == of_interactions.metadata["dagster/row_count"].value == landed["n"]
    assert of_interactions.metadata["days"].value == 4
    assert of_interactions.metadata["rows/view"].value > 100


def test_a_day_replaces_that_day_only(warehouse: Warehouse):
    run(warehouse, "interactions", **{RANGE_START: FIRST_DAY.isoformat(), RANGE_END: LAST_DAY.isoformat()})
    by_day = "select landed_on, count(*) as n from raw.interactions group by 1 order by 1"
    before = warehouse.query(by_day)
    result = run(warehouse, "interactions", **{"dagster/partition": LAST_DAY.isoformat()})
    assert warehouse.query(by_day) == before
    metadata = metadata_of(result, "interactions")
    assert metadata["days"] == 1
    assert metadata["rows"] == before["n"][-1].as_py() < metadata["dagster/row_count"]


def test_the_catalogue_carries_a_version_of_its_content(warehouse: Warehouse):
    day = {"dagster/partition": FIRST_DAY.isoformat()}
    first, second = (run(warehouse, "items", **day) for _ in range(2))
    next_day = run(warehouse, "items", **{"dagster/partition": LAST_DAY.isoformat()})

    def version(result: dg.ExecuteInProcessResult) -> str:
        [materialization] = result.asset_materializations_for_node("items")
        assert materialization.tags is not None
        return materialization.tags["dagster/data_version"]

    assert version(first) == version(second) != version(next_day)
    assert metadata_of(first, "items")["dagster/row_count"] == len(warehouse.query("select * from raw.items"))


def test_users_land_as_of_the_runs_day(warehouse: Warehouse):
    result = run(warehouse, "users", **{"dagster/partition": FIRST_DAY.isoformat()})
    assert metadata_of(result, "users")["dagster/row_count"] == len(warehouse.query("select * from raw.users"))


@pytest.mark.parametrize("named", [False, True])
def test_texts_of_the_catalogue_are_encoded_where_an_encoder_is_named(
    warehouse: Warehouse, tmp_path: Path, named: bool
):
    encoder = str(write_text_model(tmp_path / "model")) if named else None
    day = {"dagster/partition": FIRST_DAY.isoformat()}
    result = run(warehouse, "items", "item_text_embeddings", encoder=encoder, **day)
    metadata = metadata_of(result, "item_text_embeddings")
    items = warehouse.query("select * from raw.items")
    assert metadata["dagster/row_count"] == (len(items) if named else 0)
    assert (metadata["encoded"] != 0) == named


@pytest.mark.tf
def test_pictures_of_the_catalogue_are_encoded_where_weights_are_named(warehouse: Warehouse, tmp_path: Path):
    from ml.retrieval.legacy_keras import tf

    weights, folder = tmp_path / "weights.h5", tmp_path / "pictures"
    tf.keras.applications.EfficientNetB0(include_top=False, weights=None).save_weights(weights)
    folder.mkdir()
    (folder / "cup.png").write_bytes(picture())
    items = [{"item_id": "a", "image_path": "cup.png"}, {"item_id": "b", "image_path": "spade.png"}, {"item_id": "c"}]
    warehouse.replace_table("raw", "items", pa.Table.from_pylist(items, RAW_ITEMS))
    pictures = ImageEncoderResource(weights=str(weights), folder=str(folder))
    metadata = metadata_of(run(warehouse, "item_image_embeddings", pictures=pictures), "item_image_embeddings")
    assert metadata == {"dagster/row_count": 2, "encoded": 1, "unusable/missing_picture": 1}
    rows = warehouse.query("select * from raw.item_image_embeddings order by item_id").to_pylist()
    assert [(row["item_id"], row["length"], len(row["vector"])) for row in rows] == [("a", 1280, 1280), ("b", 1280, 0)]
    assert np.isfinite(rows[0]["vector"]).all()
    assert metadata_of(run(warehouse, "item_image_embeddings"), "item_image_embeddings") == {
        "dagster/row_count": 0,
        "encoded": 0,
    }


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.key.to_user_string())
def test_every_column_is_described(asset: dg.AssetsDefinition):
    schema = asset.metadata_by_key[asset.key]["dagster/column_schema"]
    assert schema.columns
    assert all(column.description for column in schema.columns)
    assert asset.descriptions_by_key[asset.key].endswith(("reason.", "lists.", "changed.", "column.", "user."))
