"""How dbt is called: by which target, with which days, and where it leaves its files."""

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, assert_never

import dagster as dg
from dagster_dbt import DbtCliInvocation, DbtCliResource, DbtProject
from dagster_dbt.core.dbt_event_iterator import DbtEventIterator
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version
from pydantic import Field

from ml.dataset.split import SplitSettings
from orchestration.settings import Platform, PlatformSettings

PROJECT_FOLDER = Path(__file__).parents[2] / "dbt_project"
KEPT_INVOCATIONS = 20
"""Folders of past dbt commands that stay to be looked at; each holds a manifest, a log and the SQL that ran."""

Vars = Mapping[str, str | list[str]]


class Dbt(DbtCliResource):  # type: ignore[misc]  # dagster_dbt is untyped to mypy here
    """The dbt command line over one home folder."""

    home: str = Field(description="Absolute folder of all state.")
    gcp_project: str | None = Field(default=None, description="Of the target `bigquery`.")
    gcp_location: str | None = Field(default=None, description="Of the target `bigquery`.")

    @classmethod
    def of(cls, settings: PlatformSettings) -> "Dbt":
        """The command line for this process's platform."""
        return cls(
            project_dir=str(PROJECT_FOLDER),
            profiles_dir=str(PROJECT_FOLDER),
            target=target_of(settings.platform),
            # The sibling of this Python: `dbt` need not be on the PATH.
            dbt_executable=str(Path(sys.executable).with_name("dbt")),
            home=str(settings.home.absolute()),
            gcp_project=settings.gcp_project,
            gcp_location=settings.gcp_location,
        )

    def build(self, context: dg.AssetExecutionContext, variables: Vars) -> Iterator[Any]:
        """Build and test what the context selects; yields Dagster's events, with row counts, columns and their lineage."""
        # Unit tests try the logic, not the data: they belong to the test suite, not to every day.
        args = ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(dict(variables))]
        # The inner context: dagster_dbt asks the outer one for what Dagster has deprecated there.
        invocation = self.cli(args, context=context.op_execution_context)
        # To the end first. Dagster's fetchers spin while they wait, a whole core, and on DuckDB they wait for dbt in any case.
        events, failure = _exhausted(invocation.stream())
        built = [event for event in events if isinstance(event, dg.Output)]
        yield from DbtEventIterator(iter(built), invocation).fetch_row_counts().fetch_column_metadata()
        yield from (event for event in events if not isinstance(event, dg.Output))
        _forget_old(Path(self.home, "dbt"))
        if failure is not None:
            raise failure

    def cli(self, args: Any, **kwargs: Any) -> DbtCliInvocation:
        # dbt works from inside its project, so the home must be absolute; its files belong there and not beside the models.
        told = {"AISLE_HOME": self.home, "DBT_TARGET_PATH": str(Path(self.home, "dbt"))}
        for name, value in (("AISLE_GCP_PROJECT", self.gcp_project), ("AISLE_GCP_LOCATION", self.gcp_location)):
            if value is not None:
                told[name] = value
        with _environment(**told):
            return super().cli(args, **kwargs)

    def _initialize_dbt_core_adapter(self, args: Any) -> Any:
        adapter = super()._initialize_dbt_core_adapter(args)
        if adapter.type() == "duckdb":
            # With this connection Dagster counts rows after the command. Kept open, it would lock the next command out.
            adapter.config.credentials.keep_open = False
        return adapter

    @property
    def _cli_version(self) -> Version:
        # The original asks `dbt --version`: five seconds and a look at the network before every command.
        return Version(importlib.metadata.version("dbt-core"))


class FeatureCuts(dg.ConfigurableResource[None]):
    """The midnights at which features are computed: T, the start of the test week, and each week the ranker learns on."""

    ranker_weeks: int = Field(
        default=SplitSettings().ranker_weeks,
        ge=1,
        le=52,
        description="Weeks before the test week the ranker learns on.",
    )

    def until(self, cut: datetime) -> list[date]:
        """All cuts, newest first.

        >>> [str(day) for day in FeatureCuts(ranker_weeks=1).until(datetime(2024, 5, 1))]
        ['2024-05-01', '2024-04-24', '2024-04-17']
        """
        return [cut.date() - timedelta(weeks=week) for week in range(2 + self.ranker_weeks)]


def target_of(platform: Platform) -> str:
    """The dbt target that is this platform's warehouse."""
    match platform:
        case Platform.EMBEDDED:
            return "duckdb"
        case Platform.GCP:
            return "bigquery"
        case unknown:
            assert_never(unknown)


def project_of(settings: PlatformSettings) -> DbtProject:
    """The project with its manifest under the home folder, parsed again where a source file is newer."""
    project = DbtProject(
        PROJECT_FOLDER, target_path=settings.home.absolute() / "dbt", target=target_of(settings.platform)
    )
    ensure_manifest(project, Dbt.of(settings))
    return project


def ensure_manifest(project: DbtProject, dbt: Dbt) -> None:
    """Parse the project unless its manifest is newer than every source file, and of this target.

    Dagster's own `prepare_if_dev` would parse in every run worker of a development server, ten seconds each.
    """
    sources = (path for path in project.project_dir.rglob("*") if path.suffix in {".sql", ".yml"})
    newest = max(path.stat().st_mtime for path in sources if "target" not in path.parts)
    manifest = project.manifest_path
    if not manifest.exists() or manifest.stat().st_mtime <= newest or _adapter_of(manifest) != dbt.target:
        _parse(manifest, dbt)


def _adapter_of(manifest: Path) -> str:
    """The target it was parsed for: both of ours are named after their adapter."""
    return str(json.loads(manifest.read_text())["metadata"]["adapter_type"])


def _parse(manifest: Path, dbt: Dbt) -> None:
    """Write the manifest beside the old one, then swap: web server, daemon and runs may all find it stale at once."""
    fresh = manifest.parent / f"parse-{os.getpid()}"
    dbt.cli(["parse", "--quiet"], target_path=fresh).wait()
    for name in ("partial_parse.msgpack", manifest.name):
        fresh.joinpath(name).replace(manifest.with_name(name))
    shutil.rmtree(fresh)


def _exhausted(stream: Iterator[Any]) -> tuple[list[Any], DagsterDbtCliRuntimeError | None]:
    """All events of a command, and why it failed if it did: what was built before that is still told."""
    events = []
    try:
        for event in stream:
            events.append(event)
    except DagsterDbtCliRuntimeError as failure:
        return events, failure
    return events, None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _forget_old(folder: Path) -> None:
    invocations = sorted(path.parent for path in folder.glob("*/run_results.json"))
    invocations.sort(key=lambda path: path.stat().st_mtime)
    for invocation in invocations[:-KEPT_INVOCATIONS]:
        shutil.rmtree(invocation, ignore_errors=True)
