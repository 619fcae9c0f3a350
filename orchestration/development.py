"""The programs of `make dev`."""

import os
import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestration.run import ROOT, dagster_home
from orchestration.settings import PlatformSettings
from orchestration.supervisor import Program


class Ports(BaseSettings):
    """Where each program listens, on this machine only."""

    model_config = SettingsConfigDict(env_prefix="AISLE_", frozen=True, extra="forbid")

    dagster_port: int = Field(default=3000, ge=1, le=65_535, description="Dagster's user interface.")
    service_port: int = Field(default=8000, ge=1, le=65_535, description="The service.")
    mlflow_port: int = Field(default=5000, ge=1, le=65_535, description="MLflow's user interface.")

    def addresses(self) -> dict[str, str]:
        """What to look at in a browser: of the service its console and its description."""
        service = f"http://127.0.0.1:{self.service_port}"
        return {
            "dagster": f"http://127.0.0.1:{self.dagster_port}",
            "console": f"{service}/console",
            "service": f"{service}/docs",
            "mlflow": f"http://127.0.0.1:{self.mlflow_port}",
        }


def programs(settings: PlatformSettings, ports: Ports) -> list[Program]:
    """Dagster's webserver and daemon, the service, MLflow's pages over the registry of this home, unless a server elsewhere has them."""
    home = str(settings.home)
    settings.home.mkdir(parents=True, exist_ok=True)
    own = [
        Program(
            "dagster",
            [_beside("dagster"), "dev", "--host", "127.0.0.1", "--port", str(ports.dagster_port)],
            {"DAGSTER_HOME": str(dagster_home(settings)), "AISLE_HOME": home},
            ROOT,
        ),
        Program(
            "service",
            [sys.executable, "-m", "serving"],
            {"AISLE_HOME": home, "AISLE_SERVICE_PORT": str(ports.service_port), **_releases_of(settings)},
            ROOT,
        ),
    ]
    if (settings.mlflow_tracking_uri or "").startswith("http"):
        return own
    return [
        *own,
        Program(
            "mlflow",
            [
                _beside("mlflow"), "server", "--host", "127.0.0.1", "--port", str(ports.mlflow_port), "--workers", "1",
                "--artifacts-destination", settings.in_bucket("mlflow") or f"{home}/mlflow-artifacts",
            ],
            {
                # Not among the arguments: an address may hold a password, and whoever is on this machine can read those.
                "MLFLOW_BACKEND_STORE_URI": settings.mlflow_tracking_uri or f"sqlite:///{home}/mlflow.db",
                # Its job executor starts six more processes, for features nothing here uses.
                "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
        ),
    ]  # fmt: skip


def _releases_of(settings: PlatformSettings) -> dict[str, str]:
    """Where the service finds what this platform publishes; nothing to say where that is its home, or where somebody said otherwise."""
    remote = settings.in_bucket("releases")
    return {"AISLE_RELEASES": remote} if remote and not os.environ.get("AISLE_RELEASES") else {}


def _beside(name: str) -> str:
    """A command of the environment this Python belongs to: it need not be on the PATH."""
    return str(Path(sys.executable).with_name(name))
