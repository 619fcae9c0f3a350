"""A whole source in a warehouse, the tiny demo shop above all."""

from pathlib import Path

from orchestration.image_embeddings import ImageEmbeddings
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.sources.demo import DemoSource
from orchestration.sources.landing import LandedTables
from orchestration.sources.source import Source
from orchestration.text_embeddings import TextEmbeddings
from tests.demo_shop import AS_OF, tiny_settings


def land_everything(source: Source, warehouse: Warehouse) -> None:
    """All raw tables over all days of the source."""
    tables = LandedTables(source, warehouse)
    for landed in (tables.interactions, tables.impressions):
        landed(source.first_day(), source.last_day())
    tables.items()
    tables.item_embeddings()
    TextEmbeddings.none().land(warehouse)
    ImageEmbeddings.none().land(warehouse)
    tables.users()


def land_tiny_shop(home: Path) -> DuckDBWarehouse:
    """The raw tables of the tiny shop in `home/warehouse.duckdb`, 120 days until `AS_OF`. Takes about three seconds."""
    warehouse = DuckDBWarehouse(path=str(home / "warehouse.duckdb"))
    land_everything(DemoSource(tiny_settings(), until=AS_OF), warehouse)
    return warehouse
