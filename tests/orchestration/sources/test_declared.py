"""The shop's own BigQuery tables are the raw layer where they stand, and say what files of the same rows say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEM_EMBEDDINGS, RAW_ITEMS, RAW_USERS
from ml.contract.errors import ContractError, MappingError
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.declared import DeclaredTables
from orchestration.sources.feedback import FeedbackRows
from orchestration.sources.files import FilesSource
from orchestration.sources.resource import SourceResource
from serving.feedback import FeedbackLog
from serving.feedback.records import microseconds
from tests.local_gcp import LocalGcp
from tests.orchestration.sources.conftest import SalesFolder
from tests.serving.feedback.rows import event

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 4)
SALES = """
    create table shop.sales (Customer int64, Article string, Time timestamp, Pieces int64, Price numeric, Text string)
    partition by date(Time) cluster by Customer
    options (require_partition_filter = true)
    as select 1, 'a1', timestamp '2026-01-01 10:00:00+00', 2, numeric '1.50', 'Tea'
    union all select 1, 'A1', timestamp '2026-01-02 10:00:00+00', 1, numeric '1.70', 'Tea'
    union all select 2, 'b2', timestamp '2026-01-02 23:59:59+00', 3, numeric '9.00', 'Pot, large'
    union all select null, 'b2', timestamp '2026-01-04 08:00:00+00', 1, numeric '9.00', 'Pot'
"""
"""The rows of the sales file, as a shop keeps them in BigQuery."""


@dataclass
class Shop:
    """A user's dataset beside ours, and what the mapping says of it."""

    warehouse: BigQueryWarehouse
    path: Path
    interactions: dict[str, Any]
    rest: dict[str, Any] = field(default_factory=dict)

    def has(self, *statements: str) -> None:
        with self.warehouse.client() as client:
            client.create_dataset("shop", exists_ok=True)
        for statement in statements:
            self.warehouse.execute(statement)

    @property
    def mapping(self) -> Path:
        file = self.path / "shop.yaml"
        file.write_text(yaml.safe_dump({"interactions": self.interactions, **self.rest}))
        return file

    def tables(self) -> DeclaredTables:
        return DeclaredTables.read(self.mapping, self.warehouse)

    def rows(
        self, name: str = "interactions", *, order_by: str = "landed_on, item_id, user_id nulls first"
    ) -> pa.Table:
        return self.warehouse.query(f"select * from raw.{name} order by {order_by}")


def test_what_the_service_wrote_down_is_part_of_the_views(shop: "Shop", tmp_path: Path) -> None:
    shop.has(SALES)
    log = FeedbackLog.open(None, default=tmp_path / "feedback.db")
    log.add([event("e1", user_id="0" * 32, at_us=microseconds(datetime(2026, 1, 2, 9, tzinfo=UTC)))]).result(10)
    log.close()
    logged = FeedbackRows(f"sqlite:///{tmp_path / 'feedback.db'}")
    tables = DeclaredTables.read(shop.mapping, shop.warehouse, logged)
    tables.interactions(FIRST, LAST)
    landed = tables.interactions(FIRST, LAST)  # again: it is replaced, not added
    own = DeclaredTables.read(shop.mapping, shop.warehouse)
    assert landed.rows == own.interactions(FIRST, LAST).rows + 1
    tables.interactions(FIRST, LAST)
    assert shop.rows()["user_id"].to_pylist().count("pseudonym:" + "0" * 32) == 1
    assert tables.impressions(FIRST, LAST).rows == 0


@pytest.fixture
def shop(fresh_gcp: LocalGcp, tmp_path: Path, sales: SalesFolder) -> Shop:
    interactions = {**sales.interactions, "table": "shop.sales", "first_day": FIRST}
    del interactions["path"]
    return Shop(BigQueryWarehouse(project=fresh_gcp.project), tmp_path, interactions)


def as_text(rows: pa.Table) -> list[str]:
    return sorted(map(repr, rows.to_pylist()))


def test_tables_in_place_say_what_files_of_the_same_rows_say(shop: Shop, sales: SalesFolder):
    more = {
        "event_rules": [{"event_type": "return", "when": {"column": "Pieces", "above": 2}}],
        "out_of_scope": {
            "dear": {"column": "Price", "above": 8},
            "no_tea": {"column": "Text", "does_not_match": "^Tea$"},
        },
        "normalise": {"item_id": ["trim", "upper"], "quantity": ["absolute"]},
    }
    derived = {"items": {"derive": {"title": "Text", "price": "Price"}}, "users": {"derive": {"country": "Text"}}}
    for mapped in (shop, sales):
        mapped.interactions |= more
        mapped.rest |= derived
    shop.has(SALES)
    shop.tables().interactions(FIRST, LAST)
    shop.tables().items()
    shop.tables().users()

    files: FilesSource = sales.source()
    landed = pa.concat_tables(files.interactions(FIRST, LAST))
    unnumbered = pa.array([None] * len(landed), pa.int64())
    place = landed.schema.get_field_index("source_row")
    assert as_text(shop.rows()) == as_text(landed.set_column(place, "source_row", unnumbered))
    assert as_text(shop.rows("items", order_by="item_id")) == as_text(files.items())
    assert as_text(shop.rows("users", order_by="user_id")) == as_text(files.users())


def test_nothing_is_copied_and_columns_are_as_agreed(shop: Shop):
    shop.has(SALES)
    tables = shop.tables()
    tables.interactions(FIRST, LAST)
    tables.impressions(FIRST, LAST)
    tables.items()
    tables.item_embeddings()
    tables.users()
    agreed = {
        "interactions": RAW_INTERACTIONS,
        "impressions": RAW_IMPRESSIONS,
        "items": RAW_ITEMS,
        "item_embeddings": RAW_ITEM_EMBEDDINGS,
        "users": RAW_USERS,
    }
    with shop.warehouse.client() as client:
        found = {table.table_id: table.table_type for table in client.list_tables("raw")}
    assert found == dict.fromkeys(agreed, "VIEW")
    for name, schema in agreed.items():
        assert shop.warehouse.query(f"select * from raw.{name}").cast(schema).schema == schema


def test_a_materialisation_counts_its_window_and_tells_how_the_table_is_stored(shop: Shop):
    shop.has(SALES)
    landed = shop.tables().interactions(date(2026, 1, 2), date(2026, 1, 3))
    assert landed.rows_by_kind == {"purchase": 2}
    assert landed.table_rows == 4
    assert landed.layout == {
        "table": f"{shop.warehouse.project}.shop.sales",
        "partitioned_by": "Time",
        "clustered_by": "Customer",
    }
    assert landed.warnings == ()


def test_days_end_where_the_mapping_ends_them(shop: Shop):
    shop.has(SALES)
    shop.interactions["last_day"] = date(2026, 1, 3)
    shop.tables().interactions(FIRST, LAST)
    assert [row.day for row in shop.rows()["landed_on"].to_pylist()] == [1, 2, 2]


def test_a_row_without_an_instant_lands_on_the_first_day_and_one_before_it_is_not_declared(shop: Shop):
    shop.has(
        SALES,
        "insert into shop.sales (Customer, Article) values (7, 'late')",
        "insert into shop.sales (Customer, Article, Time) values (7, 'early', timestamp '2025-12-31 23:00:00+00')",
    )
    shop.tables().interactions(FIRST, LAST)
    rows = {
        (row["item_id"], row["landed_on"], row["occurred_at"])
        for row in shop.rows().to_pylist()
        if row["user_id"] == "7"
    }
    assert rows == {("late", FIRST, None)}


def test_the_mapping_may_name_the_day_a_row_arrived(shop: Shop):
    shop.has(
        "create table shop.sales (Customer string, Article string, Time string, Pieces string, Price string, day date) "
        "partition by day options (require_partition_filter = true)",
        "insert into shop.sales values ('u', 'a', '01.02.2026 10:00', '2', '1,5', date '2026-01-02')",
        "insert into shop.sales values ('u', 'b', 'soon', 'x', '', date '2026-01-03')",
    )
    shop.interactions |= {
        "landed_on": "day",
        "timestamp_format": "%d.%m.%Y %H:%M",
        "timezone": "Europe/Berlin",
        "decimal": ",",
    }
    landed = shop.tables().interactions(FIRST, LAST)
    assert landed.warnings == ()
    assert [
        (row["landed_on"].day, row["occurred_at"], row["quantity"], row["price"]) for row in shop.rows().to_pylist()
    ] == [(2, datetime(2026, 2, 1, 9), 2.0, 1.5), (3, None, None, None)]


UNPARTITIONED = (
    "create table shop.sales (Customer string, Article string, Time timestamp, Pieces int64, Price float64, seen date)"
)


@pytest.mark.parametrize(
    ("how", "warning"),
    [
        ("", r"is partitioned by nothing, .* comes from Time. Each run reads the whole table. Partition it by Time"),
        (" partition by seen", r"is partitioned by seen, .* comes from Time. Each run .* Set `landed_on: seen`"),
    ],
)
def test_a_table_that_a_day_cannot_be_read_of_is_warned_of(shop: Shop, how: str, warning: str):
    shop.has(
        UNPARTITIONED + how,
        "insert into shop.sales values ('u', 'a', timestamp '2026-01-02 10:00:00+00', 1, 1.5, null)",
    )
    landed = shop.tables().interactions(FIRST, LAST)
    [said] = landed.warnings
    assert re.search(warning, said)
    assert landed.rows == 1


def test_a_table_that_wants_a_filter_on_another_column_is_refused(shop: Shop):
    shop.has(UNPARTITIONED + " partition by seen options (require_partition_filter = true)")
    with pytest.raises(
        MappingError, match=r"partitioned by seen, .* comes from Time\. Expected: both the same.*`landed_on: seen`"
    ):
        shop.tables().interactions(FIRST, LAST)
    assert not shop.warehouse.table_exists("raw", "interactions")


def test_a_catalogue_and_users_of_their_own(shop: Shop):
    shop.has(
        SALES,
        "create table shop.items as select 'a1' as sku, 'Tea' as name, numeric '1.5' as price, 1 as active, 3 as stock",
        "create table shop.people as select 1 as id, 'DE' as land, datetime '2025-06-01 12:00:00' as since",
    )
    shop.rest = {
        "items": {
            "table": "shop.items",
            "columns": {"item_id": "sku", "title": "name", "price": "price", "is_active": "active", "stock": "stock"},
            "normalise": {"item_id": ["upper"]},
        },
        "users": {
            "table": "shop.people",
            "timezone": "Europe/Berlin",
            "columns": {"user_id": "id", "country": "land", "signed_up_at": "since"},
        },
    }
    tables = shop.tables()
    assert (tables.items().rows, tables.users().rows) == (1, 1)
    [item] = shop.rows("items", order_by="item_id").to_pylist()
    assert {name: value for name, value in item.items() if value is not None} == {
        "item_id": "A1", "title": "Tea", "price": 1.5, "is_active": True, "stock": 3,
    }  # fmt: skip
    assert shop.rows("users", order_by="user_id").to_pylist() == [
        {"user_id": "1", "country": "DE", "segment": None, "signed_up_at": datetime(2025, 6, 1, 10)}
    ]


STOCK_WITH_VECTORS = """
    create table shop.stock as
    select 'a1' as sku, timestamp '2026-01-01 00:00:00+00' as since, [0.5, 1.0] as words, 'x' as note
    union all select ' b2', null, [float64 'nan', 1.0], 'x'
    union all select 'c3', null, null, 'x'
"""


def test_vector_columns_are_read_where_they_are(shop: Shop):
    shop.has(STOCK_WITH_VECTORS)
    vectors = {"text": {"column": "words", "length": 2}}
    mapped = {
        "columns": {"item_id": "sku", "created_at": "since"},
        "normalise": {"item_id": ["trim"]},
        "vectors": vectors,
    }
    shop.rest["items"] = {"table": "shop.stock", **mapped}
    first, again = (shop.tables().item_embeddings().digest for _ in range(2))
    found = shop.rows("item_embeddings", order_by="item_id")
    assert found.cast(RAW_ITEM_EMBEDDINGS).schema == RAW_ITEM_EMBEDDINGS
    assert [(row["item_id"], row["name"], row["length"], repr(row["vector"])) for row in found.to_pylist()] == [
        ("a1", "text", 2, "[0.5, 1.0]"),
        ("b2", "text", 2, "[nan, 1.0]"),
    ]
    shop.has("insert into shop.stock (sku, words) values ('d4', [1.0, 1.0])")
    assert first == again != shop.tables().item_embeddings().digest


def test_a_vector_column_must_hold_lists_of_floats(shop: Shop):
    shop.has(STOCK_WITH_VECTORS)
    vectors = {"text": {"column": "note", "length": 2}}
    shop.rest["items"] = {"table": "shop.stock", "columns": {"item_id": "sku"}, "vectors": vectors}
    with pytest.raises(
        MappingError,
        match=r"'note' of .*shop\.stock, used by `vectors\.text`, must be one of ARRAY<FLOAT64>\. Received: STRING",
    ):
        shop.tables().item_embeddings()
    assert not shop.warehouse.table_exists("raw", "item_embeddings")


@pytest.mark.parametrize("derived", [True, False])
def test_the_catalogues_version_changes_when_the_table_does(shop: Shop, derived: bool):
    shop.has(SALES, "create table shop.items as select 'a1' as sku, 1.5 as price")
    if not derived:
        shop.rest["items"] = {"table": "shop.items", "columns": {"item_id": "sku", "price": "price"}}
    first, again = (shop.tables().items().digest for _ in range(2))
    shop.has(
        f"insert into shop.{'sales (Article) values' if derived else 'items values'} ('x'{'' if derived else ', 1.0'})"
    )
    assert first == again != shop.tables().items().digest


def test_the_version_of_a_view_is_that_of_its_content(shop: Shop):
    shop.has(
        SALES,
        "create table shop.stock as select 'a1' as sku, 1.5 as price",
        "create view shop.items as select * from shop.stock",
    )
    shop.rest["items"] = {"table": "shop.items", "columns": {"item_id": "sku", "price": "price"}}
    first, again = (shop.tables().items().digest for _ in range(2))
    shop.has("update shop.stock set price = 2.5 where true")
    assert first == again != shop.tables().items().digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "shop.sails"}, r"`table` must name a table or view. Received: .*\.shop\.sails, which is not there"),
        ({"out_of_scope": {"x": {"column": "Txt", "is_null": True}}}, r"must have the column 'Txt', used by a rule\. .* Did you mean 'text'"),
        ({"columns": {"user_id": "Customer", "item_id": "Artikel", "occurred_at": "Time"}}, r"'Artikel', used by `item_id`.*'article'"),
        ({"columns": {"user_id": "Customer", "item_id": "Article", "occurred_at": "Pieces"}}, r"'Pieces' .* `occurred_at`, must be one of TIMESTAMP, .* Received: INTEGER\. Map another"),
        ({"columns": {"user_id": "Tags", "item_id": "Article", "occurred_at": "Time"}}, r"'Tags' .* `user_id`, must be one of STRING, .* Received: ARRAY"),
        ({"landed_on": "Text"}, r"'Text' .* `landed_on`, must be one of TIMESTAMP, DATETIME, DATE\. Received: STRING"),
        ({"timestamp_format": "%Y %U", "columns": {"user_id": "Customer", "item_id": "Article", "occurred_at": "Text"}}, r"must be made of .* Received: %U"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_is_made(shop: Shop, change: Mapping[str, Any], message: str):
    shop.has(SALES, "alter table shop.sales add column Tags array<string>")
    shop.interactions |= change
    with pytest.raises(MappingError, match=message):
        shop.tables().interactions(FIRST, LAST)
    assert not shop.warehouse.table_exists("raw", "interactions")


def test_no_text_of_a_mapping_is_run(shop: Shop):
    shop.has(SALES)
    hostile = "x' or true); drop table shop.sales; -- \\"
    shop.interactions["out_of_scope"] = {
        hostile: {"column": "Text", "equals": "Tea"},
        "other": {"column": "Text", "equals": hostile},
    }
    shop.rest["items"] = {"derive": {"title": {"column": "Text", "split": "', '"}}}
    shop.tables().interactions(FIRST, LAST)
    shop.tables().items()
    assert {row["excluded_because"] for row in shop.rows().to_pylist()} == {hostile, None}


def test_a_snapshot_that_wants_a_filter_is_refused(shop: Shop):
    shop.has(SALES)
    shop.rest["items"] = {"table": "shop.sales", "columns": {"item_id": "Article"}}
    with pytest.raises(
        MappingError, match=r"must be readable as a whole\. Received: a table that wants every query to bound Time"
    ):
        shop.tables().items()


def test_another_location_is_refused(shop: Shop):
    shop.has(SALES)
    elsewhere = BigQueryWarehouse(project=shop.warehouse.project, location="US")
    with pytest.raises(MappingError, match=r"must be in AISLE_GCP_LOCATION, US\. Received: EU"):
        DeclaredTables.read(shop.mapping, elsewhere).interactions(FIRST, LAST)


def test_a_mapping_of_files_declares_nothing(sales: SalesFolder):
    sales.source()
    with pytest.raises(MappingError, match=r"AISLE_SOURCE=bigquery reads tables in place\. Received: .* names files"):
        DeclaredTables.read(sales.path / "mapping.yaml", BigQueryWarehouse(project="p"))


def test_the_source_declares_where_the_warehouse_is_bigquery(shop: Shop):
    resource = SourceResource(name="bigquery", mapping=str(shop.mapping))
    assert isinstance(resource.tables(shop.warehouse, until=LAST), DeclaredTables)
    with pytest.raises(ContractError, match=r"Received: DuckDBWarehouse\. Set AISLE_PLATFORM=gcp"):
        resource.tables(DuckDBWarehouse(path="w"), until=LAST)
    with pytest.raises(ContractError, match="whose tables stay where they are"):
        resource.open(until=LAST)
