"""What this process is told from outside: environment variables with the prefix AISLE_."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.features.pseudonym import DEVELOPMENT_KEY

ShopSize = Literal["tiny", "demo", "large"]


class Platform(StrEnum):
    """Where tables, artifacts and state live."""

    EMBEDDED = "embedded"
    GCP = "gcp"


class Source(StrEnum):
    """Where the shop's raw tables come from."""

    DEMO = "demo"
    FILES = "files"


class PlatformSettings(BaseSettings):
    """Settings of one process. A path that is not absolute is relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix="AISLE_", frozen=True, extra="forbid")

    home: Path = Field(default=Path(".aisle"), description="Folder of all state.")
    platform: Platform = Field(default=Platform.EMBEDDED, description="Where tables, artifacts and state live.")
    source: Source = Field(default=Source.DEMO, description="Where the raw tables come from.")
    mapping: Path | None = Field(default=None, description="Column mapping of the `files` source.")
    data_dir: Path | None = Field(
        default=None, description="Folder of the mapped files; the mapping's own when absent."
    )
    shop_size: ShopSize = Field(default="demo", description="Size of the demo shop.")
    shop_seed: int = Field(default=7, ge=0, description="Seed of the demo shop.")
    as_of: date | None = Field(
        default=None, description="Last complete day. Yesterday (UTC) when absent; of files, the last day they hold."
    )
    drift_from: date | None = Field(
        default=None, description="Day from which the demo shop's tastes are planted to drift."
    )
    pseudonym_key: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_KEY), min_length=8, description="Key of the hash that replaces user ids."
    )
    recipe: Path | None = Field(default=None, description="Recipe to train by; the default one when absent.")
    pods: Path | None = Field(default=None, description="Sizes of Kubernetes pods; one process per run when absent.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        # dbt works from its own folder and would make another home there.
        return home.absolute()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.source is Source.FILES and self.mapping is None:
            raise ValueError(
                "AISLE_SOURCE=files needs AISLE_MAPPING, the YAML that names the files and their columns. "
                "Received: none. See examples/online_retail.yaml."
            )
        if self.platform is not Platform.EMBEDDED and self.pseudonym_key.get_secret_value() == DEVELOPMENT_KEY:
            raise ValueError(
                f"AISLE_PLATFORM={self.platform} needs a pseudonym key of its own. Received: the development default. "
                "Set AISLE_PSEUDONYM_KEY to a secret of at least 8 characters."
            )
        return self

    @property
    def warehouse_path(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def artifacts_path(self) -> Path:
        """Trained things, one folder per asset key."""
        return self.home / "artifacts"

    @property
    def releases_path(self) -> Path:
        """Published bundles and the pointer to the live one."""
        return self.home / "releases"

    @property
    def reports_path(self) -> Path:
        return self.home / "reports"


def yesterday(now: datetime) -> date:
    """The last complete day of an instant with a time zone."""
    return (now.astimezone(UTC) - timedelta(days=1)).date()


def utc_now() -> datetime:
    """The clock. Read here and nowhere deeper: `ml` is told the time."""
    return datetime.now(UTC)
