"""What the process is told from outside."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.features.pseudonym import DEVELOPMENT_KEY
from ml.storage.objects import is_remote


class Environment(StrEnum):
    """Where this process runs."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class ServiceSettings(BaseSettings):
    """Read from variables that start with `AISLE_`."""

    model_config = SettingsConfigDict(env_prefix="AISLE_", frozen=True, extra="forbid")

    environment: Environment = Field(
        default=Environment.DEVELOPMENT, description="`production` refuses development defaults of secrets."
    )
    home: Path = Field(default=Path(".aisle"), description="Folder of all state; releases lie in `releases/` there.")
    releases: str | None = Field(
        default=None,
        description="Where releases are published: a folder, or gs://<bucket>/releases, of which the home keeps verified copies "
        "that answer without the network. `releases/` in the home when unset.",
    )
    bundle: str | None = Field(
        default=None,
        pattern=r"^[\w-][\w.-]*$",
        description="Serve this version and no other; unset follows the release pointer.",
    )
    poll_seconds: float = Field(default=2.0, gt=0, le=3600, description="How often the release pointer is looked at.")
    pseudonym_key: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_KEY),
        min_length=8,
        description="Key of the hash that replaces user ids; must be the one the warehouse was built with.",
    )
    service_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    service_port: int = Field(default=8000, ge=1, le=65_535, description="Port to listen on.")

    @property
    def releases_remote(self) -> str | None:
        """The store to follow; None when releases lie in a folder of this machine."""
        return self.releases if self.releases and is_remote(self.releases) else None

    @property
    def releases_folder(self) -> Path:
        """The folder that is served from."""
        return Path(self.releases) if self.releases and not self.releases_remote else self.home / "releases"

    @field_validator("releases")
    @classmethod
    def _is_a_place(cls, releases: str | None) -> str | None:
        if releases and "://" in releases and not is_remote(releases):
            raise ValueError(f"AISLE_RELEASES must be a folder or gs://<bucket>/<prefix>. Received: {releases}.")
        return releases

    @model_validator(mode="after")
    def _no_development_secret_in_production(self) -> Self:
        is_default = self.pseudonym_key.get_secret_value() == DEVELOPMENT_KEY
        if self.environment is Environment.PRODUCTION and is_default:
            raise ValueError(
                "AISLE_ENVIRONMENT=production needs a pseudonym key of its own. Received: the development default. "
                "Set AISLE_PSEUDONYM_KEY to the secret the warehouse was built with."
            )
        return self
