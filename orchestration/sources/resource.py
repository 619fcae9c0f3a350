"""The source of this process, as a Dagster resource."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

import dagster as dg
from pydantic import Field

from ml.contract.errors import ContractError
from ml.simulator import ShopSettings
from ml.simulator.settings import ShopSize
from orchestration.sources.demo import DemoSource
from orchestration.sources.feedback import FeedbackRows, WithFeedback
from orchestration.sources.files import FilesSource
from orchestration.sources.source import Source

if TYPE_CHECKING:
    from orchestration.resources.warehouse import Warehouse
    from orchestration.sources.raw_tables import RawTables


class SourceResource(dg.ConfigurableResource[None]):
    """Which source, and what it needs to be opened. Days are ISO dates, since Dagster's configuration knows no dates."""

    name: Literal["demo", "files", "bigquery"] = "demo"
    mapping: str | None = Field(default=None, description="Mapping file, of `files` and `bigquery`.")
    data_dir: str | None = Field(default=None, description="Second folder to look for mapped files in.")
    shop_size: ShopSize = Field(default="demo", description="Of `demo`.")
    shop_seed: int = Field(default=7, description="Of `demo`.")
    opened_on: str | None = Field(default=None, description="First day of the demo shop.")
    drift_from: str | None = Field(default=None, description="Day from which the demo shop drifts.")
    feedback: str | None = Field(default=None, description="SQLAlchemy URL of the service's log; none where null.")

    def tables(self, warehouse: "Warehouse", *, until: date) -> "RawTables":
        """The shop's raw tables as they were known at the end of the day `until`.

        Raises:
            ContractError: the source lacks what it needs.
            MappingError: the mapping file is not valid.
        """
        # Imported here: they know warehouses, whose package knows this resource.
        from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
        from orchestration.sources.declared import DeclaredTables
        from orchestration.sources.landing import LandedTables

        logged = self.service_log()
        match self.name:
            case "demo" | "files":
                source = self.open(until=until)
                return LandedTables(WithFeedback(source, logged) if logged else source, warehouse)
            case "bigquery":
                if not isinstance(warehouse, BigQueryWarehouse):
                    raise ContractError(
                        f"Tables are declared in place in BigQuery. Received: {type(warehouse).__name__}. Set AISLE_PLATFORM=gcp."
                    )
                return DeclaredTables.read(Path(_needed("mapping", self.mapping)), warehouse, logged)
            case unknown:
                assert_never(unknown)

    def service_log(self) -> FeedbackRows | None:
        """What the service wrote down; None where there is no log, or none yet."""
        return FeedbackRows.of(self.feedback) if self.feedback else None

    def open(self, *, until: date) -> Source:
        """The rows of the shop as they were known at the end of the day `until`.

        Raises:
            ContractError: the source lacks what it needs, or gives no rows away.
            MappingError: the mapping file is not valid.
        """
        match self.name:
            case "demo":
                return DemoSource(self._shop_settings(), until=until)
            case "files":
                data_dir = Path(self.data_dir) if self.data_dir else None
                return FilesSource.open(Path(_needed("mapping", self.mapping)), data_dir=data_dir, until=until)
            case "bigquery":
                raise ContractError(
                    "Rows are read from `demo` or `files`. Received: bigquery, whose tables stay where they are."
                )
            case unknown:
                assert_never(unknown)

    def _shop_settings(self) -> ShopSettings:
        return ShopSettings(
            size=self.shop_size,
            seed=self.shop_seed,
            opened_on=date.fromisoformat(_needed("opened_on", self.opened_on)),
            drift_from=date.fromisoformat(self.drift_from) if self.drift_from else None,
        )


def _needed(name: str, value: str | None) -> str:
    if value is None:
        raise ContractError(f"`{name}` must be set for this source. Received: none. Set it on SourceResource.")
    return value
