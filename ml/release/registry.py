"""What was ever trained, and which version is champion: MLflow as a book of metadata and bytes. Nothing in it is executed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.contract.errors import ReleaseError
from ml.contract.manifest import Manifest
from ml.release.gate import Verdict
from ml.release.runs import Curve, LoggedRun, RunBook

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "aisle"
EXPERIMENT = "aisle"
CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class Candidate:
    """What is written down about a bundle beside its bytes."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Values by epoch."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    """Say `dagster/run_id` here: it leads back to the run that made the bundle."""
    reports: tuple[Path, ...] = ()
    """Files or folders to keep with the run."""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registered model: one bundle."""

    number: int
    bundle_version: str
    run_id: str
    source: str
    """Where the bundle's bytes lie."""
    created_at: datetime


@dataclass(frozen=True)
class Registry:
    """An MLflow tracking store and model registry."""

    tracking_uri: str
    artifact_root: str
    """Where the bytes go, as a URI; a tracking server decides that itself."""

    @classmethod
    def under(cls, home: Path, *, tracking_uri: str | None = None, artifact_root: str | None = None) -> "Registry":
        """SQLite and a folder in the home, unless told otherwise; MLflow's pure file store raises since 3.17."""
        home = home.absolute()
        home.mkdir(parents=True, exist_ok=True)
        return cls(
            tracking_uri or f"sqlite:///{home / 'mlflow.db'}", artifact_root or (home / "mlflow-artifacts").as_uri()
        )

    def book(self, experiment: str) -> RunBook:
        """Runs of one experiment in the same store."""
        return RunBook(self.tracking_uri, self.artifact_root, experiment)

    def log_candidate(self, bundle: Path, candidate: Candidate) -> RegisteredVersion:
        """A new version with a copy of the bundle, under the alias `challenger`. A bundle logged before keeps its version."""
        manifest = Manifest.read(bundle)
        known = [each for each in self.versions() if each.bundle_version == manifest.version]
        if known:
            return known[0]
        run_id = self._log_run(bundle, manifest, candidate)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/bundle"
        made = self._client.create_model_version(
            MODEL,
            source,
            run_id,
            tags={"bundle_version": manifest.version},
            description=f"Data until {manifest.facts.cut_at}",
        )
        self._client.set_registered_model_alias(MODEL, CHALLENGER, made.version)
        return _registered(made)

    def versions(self) -> list[RegisteredVersion]:
        """All versions, newest first."""
        found = self._client.search_model_versions(f"name = '{MODEL}'")
        return sorted((_registered(version) for version in found), key=lambda version: -version.number)

    def champion(self) -> RegisteredVersion | None:
        """The version the alias `champion` names; None before the first promotion."""
        aliases = self._client.get_registered_model(MODEL).aliases
        number = aliases.get(CHAMPION)
        return None if number is None else _registered(self._client.get_model_version(MODEL, number))

    def promote(self, version: RegisteredVersion, verdict: Verdict) -> None:
        """Move the alias `champion` to a version the gate has passed.

        Raises:
            ReleaseError: the verdict refuses. The alias stays where it is.
        """
        if not verdict.promote:
            raise ReleaseError(
                f"Version {version.number} must pass the gate before it is champion. Received a refusal: "
                f"{' '.join(verdict.reasons)} Train a better one, or change GateSettings."
            )
        self._client.set_registered_model_alias(MODEL, CHAMPION, str(version.number))
        self._client.set_model_version_tag(MODEL, str(version.number), "verdict", " ".join(verdict.reasons))

    def restore(self, bundle_version: str) -> RegisteredVersion:
        """Move the alias `champion` back to a bundle that was released before. For rollbacks: no gate is asked.

        Raises:
            ReleaseError: no such bundle is registered. The alias stays where it is.
        """
        known = self.versions()
        for version in known:
            if version.bundle_version == bundle_version:
                self._client.set_registered_model_alias(MODEL, CHAMPION, str(version.number))
                return version
        names = ", ".join(version.bundle_version for version in known) or "none"
        raise ReleaseError(f"The registry must hold the bundle. Expected one of: {names}. Received: {bundle_version}.")

    def _log_run(self, bundle: Path, manifest: Manifest, candidate: Candidate) -> str:
        return self.book(EXPERIMENT).log(
            LoggedRun(
                manifest.version,
                at=manifest.facts.created_at,
                metrics=candidate.metrics,
                curves=candidate.curves,
                params=candidate.params,
                tags={**candidate.tags, "bundle_version": manifest.version},
                files=((bundle, "bundle"), *((report, "reports") for report in candidate.reports)),
            )
        )

    @cached_property
    def _client(self) -> "MlflowClient":
        client = self.book(EXPERIMENT).client
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(MODEL)
        except MlflowException:
            client.create_registered_model(
                MODEL, description="Release bundles of Aisle. Metadata and bytes; never loaded as code."
            )
        return client


def _registered(version: Any) -> RegisteredVersion:
    return RegisteredVersion(
        number=int(version.version),
        bundle_version=version.tags.get("bundle_version", ""),
        run_id=version.run_id,
        source=version.source,
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
    )
