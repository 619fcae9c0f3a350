"""What the process is told from outside."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.features.pseudonym import DEVELOPMENT_KEY


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
    def releases(self) -> Path:
        return self.home / "releases"

    @model_validator(mode="after")
    def _no_development_secret_in_production(self) -> Self:
        is_default = self.pseudonym_key.get_secret_value() == DEVELOPMENT_KEY
        if self.environment is Environment.PRODUCTION and is_default:
            raise ValueError(
                "AISLE_ENVIRONMENT=production needs a pseudonym key of its own. Received: the development default. "
                "Set AISLE_PSEUDONYM_KEY to the secret the warehouse was built with."
            )
        return self
