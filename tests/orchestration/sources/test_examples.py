"""The example mappings take the public files as they are; every row is landed and accounted for."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.files import FilesSource
from tests.landed_shop import land_everything
from tests.shared_data import shared_data


def landed(mapping: str, data: str, home: Path) -> DuckDBWarehouse:
    source = FilesSource.open(Path(__file__).parents[3] / "examples" / mapping, data_dir=shared_data(data))
    warehouse = DuckDBWarehouse(path=str(home / "warehouse.duckdb"))
    land_everything(source, warehouse)
    return warehouse


@pytest.fixture(scope="module")
def online_retail(tmp_path_factory: pytest.TempPathFactory) -> DuckDBWarehouse:
    return landed("online_retail.yaml", "online_retail", tmp_path_factory.mktemp("online_retail"))


def counts(warehouse: DuckDBWarehouse, expression: str) -> dict[str | None, int]:
    rows = warehouse.query(f"select {expression} as kind, count(*) as n from raw.interactions group by all").to_pylist()
    return {row["kind"]: row["n"] for row in rows}


def test_online_retail_lands_every_row_once(online_retail: DuckDBWarehouse):
    numbers = online_retail.query(
        "select count(*) as n, count(distinct source_row) as d, max(source_row) as m from raw.interactions"
    )
    assert numbers.to_pylist() == [{"n": 320_705, "d": 320_705, "m": 320_705}]


def test_online_retail_rows_out_of_scope_carry_their_reason(online_retail: DuckDBWarehouse):
    found = Counter(counts(online_retail, "excluded_because"))
    assert set(found) == {None, "not_a_product", "stock_adjustment", "anonymous"}
    assert found.total() == 320_705
    assert found["not_a_product"] == 1_992
    # 88,652 lines have no customer; those among the other two reasons are counted there.
    assert online_retail.query("select count(*) as n from raw.interactions where user_id is null").to_pylist() == [
        {"n": 88_652}
    ]
    assert (
        online_retail.query("select count(user_id) as n from raw.interactions where excluded_because is null")["n"][
            0
        ].as_py()
        == found[None]
    )


def test_online_retail_cancellations_are_returns(online_retail: DuckDBWarehouse):
    assert counts(online_retail, "event_type")["return"] == 5_847
    odd = "select count(*) as n from raw.interactions where (order_id like 'C%') <> (event_type = 'return') or quantity < 0"
    assert online_retail.query(odd).to_pylist() == [{"n": 0}]


def test_online_retail_product_codes_are_one_spelling(online_retail: DuckDBWarehouse):
    mixed = "select count(*) as n from raw.interactions where item_id <> upper(trim(item_id))"
    assert online_retail.query(mixed).to_pylist() == [{"n": 0}]


def test_online_retail_items_and_users_are_derived(online_retail: DuckDBWarehouse):
    heart = online_retail.query("select title, price, is_active from raw.items where item_id = '85123A'").to_pylist()
    assert heart == [{"title": "WHITE HANGING HEART T-LIGHT HOLDER", "price": 2.95, "is_active": True}]
    strays = (
        "select count(*) as n from raw.items where not regexp_matches(item_id, '^[0-9]{5}[A-Z]*$') or title is null"
    )
    assert online_retail.query(strays).to_pylist() == [{"n": 0}]
    assert "United Kingdom" in online_retail.query("select country from raw.users")["country"].to_pylist()


def test_online_retail_has_an_empty_table_of_impressions(online_retail: DuckDBWarehouse):
    assert len(online_retail.query("from raw.impressions")) == 0


def test_rees46_lands_views_carts_and_purchases(tmp_path: Path):
    warehouse = landed("rees46.yaml", "rees46-sample", tmp_path)
    assert counts(warehouse, "event_type") == {"view": 17_055, "cart_add": 165, "purchase": 214}
    phone = warehouse.query("select category, sub_category, brand from raw.items where item_id = '1004237'").to_pylist()
    assert phone == [{"category": "electronics", "sub_category": "electronics.smartphone", "brand": "apple"}]


def test_dunnhumby_lands_lines_products_and_households(tmp_path: Path):
    warehouse = landed("dunnhumby.yaml", "dunnhumby-sample", tmp_path)
    sizes: dict[str, pa.Table] = {
        name: warehouse.query(f"from raw.{name}") for name in ("interactions", "items", "users")
    }
    assert {name: len(table) for name, table in sizes.items()} == {
        "interactions": 75_000,
        "items": 92_331,
        "users": 801,
    }
    assert counts(warehouse, "excluded_because")["no_pieces"] == 416
    assert "GROCERY" in sizes["items"]["category"].to_pylist()
