"""What the process is told from outside."""

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.contract.files import DEVELOPMENT_API_KEY
from ml.features.pseudonym import DEVELOPMENT_KEY
from ml.storage.objects import is_remote


class Environment(StrEnum):
    """Where this process runs."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


LogLevel = Literal["debug", "info", "warning", "error"]


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
    poll_seconds: float = Field(default=1.0, gt=0, le=3600, description="How often the release pointer is looked at.")
    pseudonym_key: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_KEY),
        min_length=8,
        description="Key of the hash that replaces user ids; must be the one the warehouse was built with.",
    )
    feedback_url: SecretStr | None = Field(
        default=None,
        description="Database of the feedback log, `postgresql://...`; unset is the SQLite file `feedback.db` in the home.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis for the state of visits, `redis://...`; unset keeps it in this process, which is right for one process only.",
    )
    api_keys_file: Path | None = Field(
        default=None, description="Hashes of the API keys; unset is `api_keys.json` in the home."
    )
    rate_per_second: float = Field(
        default=500.0, gt=0, le=1e6, description="Requests a key may make per second, on average, at each process."
    )
    rate_burst: int = Field(default=1000, ge=1, le=1_000_000, description="Requests a key may make at once.")
    max_concurrent: int = Field(
        default=128, ge=1, le=10_000, description="Requests answered at once; one more is refused with 503 at once."
    )
    deadline_ms: float = Field(
        default=100.0,
        ge=1,
        le=60_000,
        description="Time a list has from when its request is here; from 80 % of it on, parts of the work are left out.",
    )
    max_wait_ms: float = Field(
        default=80.0,
        gt=0,
        le=10_000,
        description="Lists are made one at a time; one that would wait longer for its turn is the popular one, at once, or refused with 503 where "
        "there were too many of those. 80 % of the deadline: one that waited so long is still made, of less.",
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1024, le=64 * 1_048_576, description="Bytes a request's body may have."
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Web pages that may call from a browser, a JSON list of origins; empty: none.",
    )
    console: bool = Field(
        default=True,
        description="Whether there is a `/console`. The page is open to all; what it asks for needs a key.",
    )
    public_docs: bool = Field(default=True, description="Whether `/docs` and `/openapi.json` need no key.")
    public_metrics: bool = Field(
        default=False,
        description="Whether `/metrics` needs no key; for a port that only Prometheus reaches.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="`json`: one object a line; `text`: for a terminal."
    )
    log_level: LogLevel = Field(
        default="info", description="Lines below it are left out; `debug` has one for every request."
    )
    otel_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Base address of an OpenTelemetry collector, `http://collector:4318`; unset sends no traces. Needs the extra `otel`.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that answer on the port, each with the whole bundle; more than one needs Redis. Limits count in each.",
    )
    drain_seconds: float = Field(
        default=1.0,
        ge=0,
        le=300,
        description="How long after SIGTERM requests are still taken, while `/readyz` says 503 and connections are handed back: as long "
        "as whoever sends them needs to look elsewhere.",
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

    @property
    def api_keys_path(self) -> Path:
        return self.api_keys_file or self.home / "api_keys.json"

    @property
    def development_key_path(self) -> Path:
        return self.home / DEVELOPMENT_API_KEY

    @property
    def feedback_path(self) -> Path:
        return self.home / "feedback.db"

    @property
    def feedback_address(self) -> str | None:
        return self.feedback_url.get_secret_value() if self.feedback_url else None

    @property
    def redis_address(self) -> str | None:
        return self.redis_url.get_secret_value() if self.redis_url else None

    @model_validator(mode="after")
    def _workers_share_visits(self) -> Self:
        if self.workers > 1 and self.redis_url is None:
            raise ValueError(
                f"AISLE_WORKERS={self.workers} needs a store of visits that all of them see. Received: no AISLE_REDIS_URL, so an event "
                "that one worker took would reach the lists of that worker only. Set AISLE_REDIS_URL, or AISLE_WORKERS=1."
            )
        return self

    @model_validator(mode="after")
    def _no_development_secret_in_production(self) -> Self:
        is_default = self.pseudonym_key.get_secret_value() == DEVELOPMENT_KEY
        if self.environment is Environment.PRODUCTION and is_default:
            raise ValueError(
                "AISLE_ENVIRONMENT=production needs a pseudonym key of its own. Received: the development default. "
                "Set AISLE_PSEUDONYM_KEY to the secret the warehouse was built with."
            )
        return self
