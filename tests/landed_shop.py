"""The tiny demo shop in a warehouse."""

from pathlib import Path

from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.demo import DemoSource
from orchestration.sources.landing import land_everything
from tests.demo_shop import AS_OF, tiny_settings


def land_tiny_shop(home: Path) -> DuckDBWarehouse:
    """The raw tables of the tiny shop in `home/warehouse.duckdb`, 120 days until `AS_OF`. Takes about three seconds."""
    warehouse = DuckDBWarehouse(path=str(home / "warehouse.duckdb"))
    land_everything(DemoSource(tiny_settings(), until=AS_OF), warehouse)
    return warehouse
