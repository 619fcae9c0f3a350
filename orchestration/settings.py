"""What this process is told from outside: environment variables with the prefix AISLE_."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self, assert_never

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
    BIGQUERY = "bigquery"


class PlatformSettings(BaseSettings):
    """Settings of one process. A path that is not absolute is relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix="AISLE_", frozen=True, extra="forbid")

    home: Path = Field(default=Path(".aisle"), description="Folder of all state.")
    platform: Platform = Field(default=Platform.EMBEDDED, description="Where tables, artifacts and state live.")
    source: Source = Field(default=Source.DEMO, description="Where the raw tables come from.")
    mapping: Path | None = Field(default=None, description="Column mapping of the sources `files` and `bigquery`.")
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
    text_encoder: Path | None = Field(
        default=None,
        description="Folder of a sentence-transformer as ONNX, for vectors of items' texts; none when absent.",
    )
    image_weights: Path | None = Field(
        default=None,
        description="Weights of EfficientNetB0 as .h5, for vectors of items' pictures; none when absent.",
    )
    image_dir: Path | None = Field(default=None, description="Folder of items' pictures; needed with image_weights.")
    pods: Path | None = Field(default=None, description="Sizes of Kubernetes pods; one process per run when absent.")
    gcp_project: str | None = Field(
        default=None, min_length=1, description="Google Cloud project that holds the tables and pays."
    )
    gcp_location: str = Field(default="EU", min_length=1, description="Where BigQuery keeps the tables.")
    gcp_bucket: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._-]+$",
        description="Cloud Storage bucket of artifacts, releases and reports; its name without gs://.",
    )
    feedback_url: SecretStr | None = Field(
        default=None,
        description="Database of the service's log, `postgresql://...`; `feedback.db` in the home when absent.",
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        min_length=1,
        description="MLflow server or database; SQLite in the home when absent, which `gcp` does not allow.",
    )
    tf_config: str | None = Field(
        default=None, validation_alias="TF_CONFIG", description="TensorFlow's own: the processes that train together."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        # dbt works from its own folder and would make another home there.
        return home.absolute()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if missing := [f"{name}, {meaning}" for name, meaning in self._needed().items()]:
            raise ValueError(
                f"AISLE_PLATFORM={self.platform} with AISLE_SOURCE={self.source} needs: {'; '.join(missing)}. "
                "Received: none of these. Set them."
            )
        if (self.image_weights is None) != (self.image_dir is None):
            given, lacking = ("WEIGHTS", "DIR") if self.image_dir is None else ("DIR", "WEIGHTS")
            raise ValueError(
                "AISLE_IMAGE_WEIGHTS, the weights of EfficientNetB0, and AISLE_IMAGE_DIR, the folder of the pictures, belong together. Received: "
                f"AISLE_IMAGE_{given} alone. Set AISLE_IMAGE_{lacking} too, or neither."
            )
        if self.source is Source.BIGQUERY and self.platform is not Platform.GCP:
            raise ValueError(
                f"AISLE_SOURCE=bigquery reads tables in place, so it needs AISLE_PLATFORM=gcp. Received: {self.platform}. "
                "Set that, or export the tables and use AISLE_SOURCE=files."
            )
        return self

    def _needed(self) -> dict[str, str]:
        """Variables that must be set and are not, with their meaning."""
        needed = {}
        if self.source is not Source.DEMO and self.mapping is None:
            needed["AISLE_MAPPING"] = (
                "the YAML that names the tables and their columns (see examples/online_retail.yaml)"
            )
        if self.platform is Platform.GCP:
            if self.gcp_project is None:
                needed["AISLE_GCP_PROJECT"] = "the project that holds the tables"
            if self.gcp_bucket is None:
                needed["AISLE_GCP_BUCKET"] = "the bucket of artifacts, releases and reports"
            if self.pseudonym_key.get_secret_value() == DEVELOPMENT_KEY:
                needed["AISLE_PSEUDONYM_KEY"] = "a secret of at least 8 characters that is not the development default"
            if self.mlflow_tracking_uri is None:
                needed["AISLE_MLFLOW_TRACKING_URI"] = (
                    "MLflow's server or database; a disk that goes with its machine would take the registry with it"
                )
        return needed

    @property
    def warehouse_kind(self) -> str:
        """What holds the tables, by the name Dagster has an icon for."""
        match self.platform:
            case Platform.EMBEDDED:
                return "duckdb"
            case Platform.GCP:
                return "bigquery"
            case unknown:
                assert_never(unknown)

    @property
    def warehouse_path(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def artifacts_path(self) -> Path:
        """Trained things, one folder per asset key."""
        return self.home / "artifacts"

    @property
    def reports_path(self) -> Path:
        return self.home / "reports"

    def in_bucket(self, name: str) -> str | None:
        """Address of a folder that all machines share; None where there is one machine, and its home."""
        return f"gs://{self.gcp_bucket}/{name}" if self.platform is Platform.GCP else None


def yesterday(now: datetime) -> date:
    """The last complete day of an instant with a time zone."""
    return (now.astimezone(UTC) - timedelta(days=1)).date()


def utc_now() -> datetime:
    """The clock. Read here and nowhere deeper: `ml` is told the time."""
    return datetime.now(UTC)
