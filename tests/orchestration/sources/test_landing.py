"""Landing replaces a window whole, twice the same, or leaves it as it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.demo import DemoSource
from orchestration.sources.landing import LandedTables
from tests.demo_shop import AS_OF, tiny_settings

START = AS_OF - timedelta(days=4)
DEMO = DemoSource(tiny_settings(), until=AS_OF)
EVERYTHING = "select * from raw.interactions order by landed_on, event_id, occurred_at, received_at, user_id, item_id"


@dataclass(frozen=True)
class Failing(DemoSource):
    """Breaks after its first day."""

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        yield next(super().interactions(start, end))
        raise OSError("disk gone")


@dataclass(frozen=True)
class Silent(DemoSource):
    """Logs no lists."""

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:  # noqa: ARG002
        return iter(())


def test_every_row_of_the_source_lands(warehouse: Warehouse):
    landed = LandedTables(DEMO, warehouse).interactions(START, AS_OF)
    given = pa.concat_tables(DEMO.interactions(START, AS_OF))
    assert landed.rows == len(given) == sum(landed.rows_by_kind.values())
    found = warehouse.query("select * from raw.interactions")
    assert found.schema == RAW_INTERACTIONS
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, given.to_pylist()))


def test_landing_twice_gives_the_same_table(warehouse: Warehouse):
    LandedTables(DEMO, warehouse).interactions(START, AS_OF)
    once = warehouse.query(EVERYTHING)
    LandedTables(DEMO, warehouse).interactions(START, AS_OF)
    assert warehouse.query(EVERYTHING).equals(once)


def test_days_landed_one_by_one_equal_a_range(warehouse: Warehouse, tmp_path: Path):
    other = DuckDBWarehouse(path=str(tmp_path / "other.duckdb"))
    LandedTables(DEMO, other).interactions(START, AS_OF)
    for day in (START + timedelta(days=n) for n in (3, 0, 4, 1, 2)):
        LandedTables(DEMO, warehouse).interactions(day, day)
    assert warehouse.query(EVERYTHING).equals(other.query(EVERYTHING))


def test_a_source_that_breaks_half_way_changes_nothing(warehouse: Warehouse):
    LandedTables(DEMO, warehouse).interactions(START, AS_OF)
    before = warehouse.query(EVERYTHING)
    with pytest.raises(OSError, match="disk gone"):
        LandedTables(Failing(tiny_settings(seed=8), until=AS_OF), warehouse).interactions(START, AS_OF)
    assert warehouse.query(EVERYTHING).equals(before)


def test_a_source_that_breaks_on_the_first_landing_leaves_no_table(warehouse: Warehouse):
    with pytest.raises(OSError, match="disk gone"):
        LandedTables(Failing(tiny_settings(), until=AS_OF), warehouse).interactions(START, AS_OF)
    assert not warehouse.table_exists("raw", "interactions")


def test_impressions_exist_even_where_the_source_has_none(warehouse: Warehouse):
    landed = LandedTables(Silent(tiny_settings(), until=AS_OF), warehouse).impressions(START, AS_OF)
    assert landed.rows == 0
    assert warehouse.query("select * from raw.impressions").cast(RAW_IMPRESSIONS).equals(RAW_IMPRESSIONS.empty_table())


def test_a_catalogue_replaces_the_one_before(warehouse: Warehouse):
    first = LandedTables(DEMO, warehouse).items()
    again = LandedTables(DEMO, warehouse).items()
    later = LandedTables(DemoSource(tiny_settings(), until=AS_OF + timedelta(days=1)), warehouse).items()
    assert first.digest == again.digest != later.digest
    assert warehouse.query("select * from raw.items").schema == RAW_ITEMS
    assert len(warehouse.query("select * from raw.items")) == later.rows


def test_users_land(warehouse: Warehouse):
    assert LandedTables(DEMO, warehouse).users().rows == len(warehouse.query("select * from raw.users")) > 250
    assert warehouse.query("select * from raw.users").schema == RAW_USERS
