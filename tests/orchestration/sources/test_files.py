"""A shop's files come through a mapping whole and typed, or not at all."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.contract.columns import RAW_ITEM_EMBEDDINGS
from ml.contract.errors import MappingError
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.files import FilesSource
from orchestration.sources.landing import LandedTables
from tests.landed_shop import land_everything
from tests.orchestration.sources.conftest import SALES, SalesFolder


def test_rows_come_in_order_with_their_numbers_and_types(sales: SalesFolder):
    rows = sales.rows()
    assert [row["source_row"] for row in rows] == [1, 2, 3, 4]
    assert [row["user_id"] for row in rows] == ["1", "1", "2", None]
    assert rows[0]["occurred_at"] == datetime(2026, 1, 1, 10)
    assert (rows[0]["quantity"], rows[0]["price"], rows[0]["event_type"]) == (2.0, 1.5, "purchase")
    assert [row["landed_on"].day for row in rows] == [1, 2, 2, 4]


def test_a_window_gives_its_days_only(sales: SalesFolder):
    source = sales.source()
    assert (source.first_day(), source.last_day()) == (date(2026, 1, 1), date(2026, 1, 4))
    tables = source.interactions(date(2026, 1, 2), date(2026, 1, 3))
    assert [row for table in tables for row in table["source_row"].to_pylist()] == [2, 3]


def test_nothing_that_arrived_later_is_read(sales: SalesFolder):
    sales.source()
    source = FilesSource.open(sales.path / "mapping.yaml", until=date(2026, 1, 1))
    assert source.last_day() == date(2026, 1, 1)
    assert sum(len(table) for table in source.interactions(date(2026, 1, 1), date(2026, 1, 4))) == 1
    assert source.items()["item_id"].to_pylist() == ["a1"]


def test_rows_outside_the_named_days_land_on_the_nearest_and_unknown_times_on_the_last(sales: SalesFolder):
    sales.write(SALES + "3,c,,1,1,\n3,c,1950-01-01 00:00:00,1,1,\n3,c,2999-01-01 00:00:00,1,1,\n")
    sales.interactions |= {"first_day": date(2026, 1, 1), "last_day": date(2026, 1, 5)}
    assert [row["landed_on"].day for row in sales.rows()][-3:] == [5, 1, 5]


def test_gzip_and_parquet_say_the_same_as_csv(sales: SalesFolder):
    plain = sales.rows()
    (sales.path / "sales.csv.gz").write_bytes(gzip.compress(SALES.encode()))
    sales.interactions["path"] = "sales.csv.gz"
    assert sales.rows() == plain
    columns: dict[str, Any] = {
        # As pandas writes an integer id with a gap.
        "Customer": pa.array([1.0, 1.0, 2.0, None]),
        "Article": ["a1", "A1", "b2", "b2"],
        "Time": pa.array([row["occurred_at"] for row in plain], pa.timestamp("ns")),
        "Pieces": [2, 1, 3, 1],
        "Price": [1.5, 1.7, 9.0, 9.0],
    }
    pq.write_table(pa.table(columns), sales.path / "sales.parquet")
    sales.interactions["path"] = "sales.parquet"
    assert sales.rows() == plain


@pytest.mark.parametrize(
    ("time", "options"),
    [
        ("01.07.2026 12:00", {"timestamp_format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin"}),
        ("2026-07-01T12:00:00+02:00", {}),
        ("2026-07-01 10:00:00 UTC", {"timezone": "Europe/Berlin"}),
        ("1782900000", {"timestamp_format": "unix_seconds"}),
        ("1782900000000", {"timestamp_format": "unix_milliseconds"}),
    ],
)
def test_instants_become_utc(sales: SalesFolder, time: str, options: dict[str, str]):
    sales.write(f"Customer,Article,Time,Pieces,Price,Text\n1,a,{time},1,1,\n")
    sales.interactions |= options
    instant = datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert instant.timestamp() == 1782900000
    assert sales.rows()[0]["occurred_at"] == instant.replace(tzinfo=None)


def test_separator_encoding_and_decimal_sign_can_be_told(sales: SalesFolder):
    sales.write("Customer;Article;Time;Pieces;Price;Text\n1;Käse;2026-01-01;1;1,5;x\n", encoding="latin-1")
    sales.interactions |= {"separator": ";", "encoding": "latin-1", "decimal": ","}
    sales.interactions["out_of_scope"] = {"dear": {"column": "Price", "above": 1.4}}
    picked = [(row["item_id"], row["price"], row["excluded_because"]) for row in sales.rows()]
    assert picked == [("Käse", 1.5, "dear")]


def test_a_nameless_column_is_no_trouble(sales: SalesFolder):
    # pandas writes its index that way
    numbered = [f"{n or ''},{line}" for n, line in enumerate(SALES.splitlines())]
    sales.write("\n".join(numbered))
    assert [row["user_id"] for row in sales.rows()] == ["1", "1", "2", None]


def test_variants_of_one_product_become_one(sales: SalesFolder):
    sales.interactions["normalise"] = {"item_id": ["trim", "upper"]}
    assert [row["item_id"] for row in sales.rows()] == ["A1", "A1", "B2", "B2"]


def test_rules_name_events_and_reasons_and_drop_nothing(sales: SalesFolder):
    sales.interactions |= {
        "event_rules": [
            {"event_type": "return", "when": [{"column": "Pieces", "above": 2}, {"column": "Text", "matches": "^Pot"}]}
        ],
        "out_of_scope": {
            "anonymous": {"column": "Customer", "is_null": True},
            "cheap": {"column": "Price", "below": 1.6},
            "never": {"column": "Article", "equals": "b2"},
        },
    }
    rows = sales.rows()
    assert [row["event_type"] for row in rows] == ["purchase", "purchase", "return", "purchase"]
    assert [row["excluded_because"] for row in rows] == ["cheap", None, "never", "anonymous"]


def test_event_types_of_a_column_are_translated_and_strange_ones_kept(sales: SalesFolder):
    sales.write(
        "Customer,Article,Time,Pieces,Price,Text\n1,a,2026-01-01,1,1,Buy\n1,a,2026-01-01,1,1,view\n1,a,2026-01-01,1,1,odd\n"
    )
    sales.interactions["event_type"] = {"column": "Text", "values": {"Buy": "purchase"}}
    assert [row["event_type"] for row in sales.rows()] == ["purchase", "view", "odd"]


def test_quotes_in_a_mapping_are_text_not_sql(sales: SalesFolder):
    sales.interactions["out_of_scope"] = {"o'clock": {"column": "Text", "equals": "'; drop table x; --"}}
    assert len(sales.rows()) == 4


def test_items_and_users_are_derived_from_rows_in_scope(sales: SalesFolder):
    sales.interactions |= {
        "normalise": {"item_id": ["upper"]},
        "out_of_scope": {"anonymous": {"column": "Customer", "is_null": True}},
    }
    sales.rest = {"items": {"derive": {"title": "Text", "price": "Price"}}, "users": {"derive": {"segment": "Text"}}}
    items, users = sales.source().items().to_pylist(), sales.source().users().to_pylist()
    assert [(row["item_id"], row["title"], row["price"]) for row in items] == [
        ("A1", "Tea", 1.6),
        ("B2", "Pot, large", 9.0),
    ]
    assert items[0]["created_at"] == datetime(2026, 1, 1, 10)
    assert all(row["is_active"] for row in items)
    assert [(row["user_id"], row["segment"]) for row in users] == [("1", "Tea"), ("2", "Pot, large")]


def test_without_a_word_about_them_items_and_users_are_just_their_ids(sales: SalesFolder):
    assert sales.source().items()["item_id"].to_pylist() == ["A1", "a1", "b2"]
    assert sales.source().users()["user_id"].to_pylist() == ["1", "2"]


def test_items_come_from_their_own_file(sales: SalesFolder):
    (sales.path / "items.csv").write_text("id,name,path,live\na1,Tea,drinks.hot,yes\nb2,Pot,home,no\n")
    columns = {
        "item_id": "id",
        "title": "name",
        "category": {"column": "path", "split": ".", "part": 1},
        "is_active": "live",
    }
    columns["sub_category"] = {"column": "path", "split": ".", "part": 2}
    sales.rest = {"items": {"path": "items.csv", "columns": columns}}
    rows = sales.source().items().to_pylist()
    picked = [
        tuple(row[name] for name in ("item_id", "title", "category", "sub_category", "is_active")) for row in rows
    ]
    assert picked == [("a1", "Tea", "drinks", "hot", True), ("b2", "Pot", "home", None, False)]


def test_impressions_come_from_their_own_file(sales: SalesFolder):
    (sales.path / "shown.csv").write_text("r,i,p,t,q\nr1,a1,1,2026-01-02 09:00:00,0.25\n")
    columns = {"request_id": "r", "item_id": "i", "position": "p", "shown_at": "t", "propensity": "q"}
    sales.rest = {"impressions": {"path": "shown.csv", "columns": columns}}
    source = sales.source()
    rows = [row for t in source.impressions(source.first_day(), source.last_day()) for row in t.to_pylist()]
    assert [(row["position"], row["propensity"], row["landed_on"]) for row in rows] == [(1, 0.25, date(2026, 1, 2))]


HEADER = SALES.splitlines()[0]
SPOILT = {
    "missing column": (
        SALES.replace("Pieces", "Piece"),
        r"sales\.csv must have the column 'Pieces'\. Received the columns: Customer, Article, Time, Piece, Price, Text\. "
        r"Did you mean 'Piece'\? Correct the mapping\.",
    ),
    "unparsable timestamp": (
        SALES.replace("2026-01-02 10:00:00", "2. January"),
        r"Column 'Time' of sales\.csv, mapped to `occurred_at`, must hold instants in ISO 8601\. "
        r"Received: '2\. January' in row 2, and 1 such rows in all\. Set `timestamp_format`",
    ),
    "no number": (
        SALES.replace("1.70", "cheap"),
        r"Column 'Price' of sales\.csv, mapped to `price`, must hold numbers with '\.' as the decimal sign\. "
        r"Received: 'cheap' in row 2, and 1 such rows in all",
    ),
    "not a number": (SALES.replace("1.70", "nan"), r"Column 'Price' .* must hold numbers .* Received: 'nan' in row 2"),
    "wrong separator": (
        SALES.replace(",", ";"),
        r"sales\.csv must be separated by a comma\. Received a single column 'Customer;Article.*', "
        r"which holds a semicolon\. Set `separator` in the mapping",
    ),
    "empty file": ("", r"sales\.csv must hold at least one row\. Received: none\. Check that the export has finished"),
    "blank first line": ("\n", r"sales\.csv must hold at least one row\. Received: none"),
    "header only": (HEADER + "\n", r"sales\.csv must hold at least one row\. Received: none"),
    "column of nulls": (
        HEADER + "\n,a1,2026-01-01 10:00:00,1,1,x\n,a2,2026-01-01 10:00:00,1,1,x\n",
        r"Column 'Customer' of sales\.csv, mapped to `user_id`, must hold values\. Received: nothing in any of its 2 rows",
    ),
    "ragged row": (
        SALES + "9,b2,2026-01-04 08:00:00\n",
        r"Every row of sales\.csv must have the 6 columns of its first line, in utf-8\. Received: .*Line: 6",
    ),
    "repeated column": (
        SALES.replace("Text", "Price"),
        r"sales\.csv must name each column once\. Received twice: Price",
    ),
    "mistyped year": (
        SALES.replace("2026-01-02 10", "1926-01-02 10"),
        r"Column 'Time' must span at most 3660 days\. Received: 1926-01-02 to 2026-01-04\. Set `first_day` and `last_day`",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_file_gives_one_clear_error_and_leaves_the_tables_alone(sales: SalesFolder, fault: str):
    warehouse = DuckDBWarehouse(path=str(sales.path / "warehouse.duckdb"))
    land_everything(sales.source(), warehouse)
    before = [warehouse.query(f"from raw.{name}") for name in ("interactions", "impressions", "items", "users")]
    text, message = SPOILT[fault]
    sales.write(text)
    with pytest.raises(MappingError, match=message):
        LandedTables(sales.source(), warehouse).interactions(date(2026, 1, 1), date(2026, 1, 4))
    with pytest.raises(MappingError, match=message):
        land_everything(sales.source(), warehouse)
    after = [warehouse.query(f"from raw.{name}") for name in ("interactions", "impressions", "items", "users")]
    assert before == after


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_file_makes_no_warehouse(sales: SalesFolder, fault: str):
    sales.write(SPOILT[fault][0])
    path = sales.path / "home" / "warehouse.duckdb"
    with pytest.raises(MappingError):
        land_everything(sales.source(), DuckDBWarehouse(path=str(path)))
    assert not path.exists()


def test_bytes_of_another_encoding_are_an_error(sales: SalesFolder):
    sales.write(SALES.replace("Tea", "Käse"), encoding="latin-1")
    with pytest.raises(MappingError, match=r"sales\.csv must .*utf-8.*Received: .*`encoding`"):
        sales.rows()


def test_a_derived_column_is_checked_as_well(sales: SalesFolder):
    sales.rest = {"items": {"derive": {"price": "Text"}}}
    with pytest.raises(
        MappingError, match=r"Column 'Text' of sales\.csv, mapped to `derive\.price`, must hold numbers"
    ):
        sales.rows()


def test_a_column_of_a_rule_must_exist(sales: SalesFolder):
    sales.interactions["out_of_scope"] = {"x": {"column": "Stockcode", "is_null": True}}
    with pytest.raises(MappingError, match=r"sales\.csv must have the column 'Stockcode'"):
        sales.rows()


def test_a_file_that_is_nowhere_is_named_with_the_places_tried(sales: SalesFolder, tmp_path: Path):
    (sales.path / "sales.csv").unlink()
    sales.source()
    source = FilesSource.open(sales.path / "mapping.yaml", data_dir=tmp_path / "data")
    with pytest.raises(
        MappingError, match=r"there is no .*sales\.csv nor .*data/sales\.csv\. Correct it, or set AISLE_DATA_DIR"
    ):
        source.first_day()


def test_the_data_folder_is_tried_after_the_mappings_own(sales: SalesFolder):
    sales.source()
    data = sales.path / "data"
    data.mkdir()
    (sales.path / "sales.csv").rename(data / "sales.csv")
    assert FilesSource.open(sales.path / "mapping.yaml", data_dir=data).first_day() == date(2026, 1, 1)


def test_what_only_claims_to_be_parquet_is_refused(sales: SalesFolder):
    (sales.path / "sales.parquet").write_text(SALES)
    sales.interactions["path"] = "sales.parquet"
    with pytest.raises(MappingError, match=r"sales\.parquet must be a Parquet file"):
        sales.rows()


VECTORS = {
    "text": {"column": "words", "length": 3},
    "image": {"column": "picture", "length": 2},
}


def test_where_a_picture_lies_is_told_by_the_catalogue(sales: SalesFolder):
    (sales.path / "items.csv").write_text("id,photo\na,cups/red.jpg\nb,\n")
    sales.rest = {"items": {"path": "items.csv", "columns": {"item_id": "id", "image_path": "photo"}}}
    rows = sales.source().items().to_pylist()
    assert {row["item_id"]: row["image_path"] for row in rows} == {"a": "cups/red.jpg", "b": None}


def test_vector_columns_of_the_catalogue_become_rows(sales: SalesFolder):
    columns = {
        "id": ["a", " B", "c"],
        "since": pa.array([datetime(2026, 1, 1), None, None], pa.timestamp("us")),
        "words": pa.array([[0.5, 1.0, 2.0], [], None], pa.list_(pa.float32())),
        "picture": pa.array([[1.0, 2.0], None, [float("nan"), 1.0]], pa.list_(pa.float32(), 2)),
    }
    pq.write_table(pa.table(columns), sales.path / "items.parquet")
    mapped = {
        "columns": {"item_id": "id", "created_at": "since"},
        "vectors": VECTORS,
        "normalise": {"item_id": ["trim", "lower"]},
    }
    sales.rest = {"items": {"path": "items.parquet", **mapped}}
    found = sales.source().item_embeddings()
    assert found.schema == RAW_ITEM_EMBEDDINGS
    # Nothing is judged here: one that is no number lands, and the warehouse rejects it.
    assert sorted(map(repr, found.to_pylist())) == [
        "{'item_id': 'a', 'created_at': datetime.datetime(2026, 1, 1, 0, 0), 'name': 'image', 'length': 2, 'vector': [1.0, 2.0]}",
        "{'item_id': 'a', 'created_at': datetime.datetime(2026, 1, 1, 0, 0), 'name': 'text', 'length': 3, 'vector': [0.5, 1.0, 2.0]}",
        "{'item_id': 'c', 'created_at': None, 'name': 'image', 'length': 2, 'vector': [nan, 1.0]}",
    ]  # fmt: skip


def test_vectors_of_a_csv_are_lists_in_brackets(sales: SalesFolder):
    (sales.path / "items.csv").write_text('id,words\na,"[0.5, -1e-3, 2]"\nb,\nc,"[1, 2]"\n')
    vectors = {"text": VECTORS["text"]}
    sales.rest = {"items": {"path": "items.csv", "columns": {"item_id": "id"}, "vectors": vectors}}
    rows = sales.source().item_embeddings().to_pylist()
    assert [(row["item_id"], row["length"], row["vector"]) for row in rows] == [
        ("a", 3, [0.5, -0.001, 2.0]),
        ("c", 3, [1.0, 2.0]),
    ]
    (sales.path / "items.csv").write_text("id,words\na,0.5 1 2\n")
    with pytest.raises(
        MappingError,
        match=r"'words' of items\.csv, mapped to `vectors\.text`, must hold lists of numbers, as text \[0\.1, 0\.2\]\. Received: '0\.5 1 2' in row 1",
    ):
        sales.source().item_embeddings()


@pytest.mark.parametrize("rest", [{}, {"items": {"path": "sales.csv", "columns": {"item_id": "Article"}}}])
def test_a_shop_without_vector_columns_has_no_vectors(sales: SalesFolder, rest: dict[str, Any]):
    sales.rest = rest
    assert sales.source().item_embeddings().equals(RAW_ITEM_EMBEDDINGS.empty_table())
