"""How dbt is called: what is left out, when the project is parsed, what stays behind."""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from dagster_dbt import DbtCliResource, DbtProject
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from ml.dataset.split import TimeSplit
from orchestration.resources import dbt as dbt_module
from orchestration.resources.dbt import Dbt, FeatureCuts, ensure_manifest, target_of
from orchestration.settings import Platform, PlatformSettings


class ParseCounter(Dbt):
    """Writes a manifest without models instead of parsing."""

    def cli(self, args: Any, **kwargs: Any) -> Any:
        assert args[0] == "parse"
        folder = kwargs["target_path"]
        folder.mkdir(parents=True)
        for name in ("manifest.json", "partial_parse.msgpack"):
            folder.joinpath(name).write_text(json.dumps({"metadata": {"adapter_type": self.target}}))
        return self

    def wait(self) -> None: ...


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    folder = tmp_path / "dbt_project"
    shutil.copytree(dbt_module.PROJECT_FOLDER, folder)
    return DbtProject(folder, target_path=tmp_path / "home" / "dbt")


def counter(tmp_path: Path) -> ParseCounter:
    return ParseCounter.of(PlatformSettings(home=tmp_path / "home"))


def test_the_private_methods_replaced_still_exist() -> None:
    assert isinstance(DbtCliResource.__dict__["_cli_version"], cached_property)
    assert "_initialize_dbt_core_adapter" in DbtCliResource.__dict__


def test_the_version_is_read_without_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_dbt.core.resource.check_output", lambda *_: pytest.fail("asked `dbt --version`"))
    assert Dbt.of(PlatformSettings(home=tmp_path))._cli_version.major == 1


def test_a_project_is_parsed_when_a_file_is_newer_than_its_manifest(project: DbtProject, tmp_path: Path) -> None:
    ensure_manifest(project, counter(tmp_path))
    written = project.manifest_path.stat().st_mtime
    ensure_manifest(project, counter(tmp_path))
    assert project.manifest_path.stat().st_mtime == written

    os.utime(project.project_dir / "models" / "marts" / "dim_items.sql", (written + 5, written + 5))
    ensure_manifest(project, counter(tmp_path))
    assert project.manifest_path.stat().st_mtime > written
    assert not list(project.manifest_path.parent.glob("parse-*"))


def test_a_project_is_parsed_again_for_another_target(project: DbtProject, tmp_path: Path) -> None:
    ensure_manifest(project, counter(tmp_path))
    ensure_manifest(project, counter(tmp_path).model_copy(update={"target": "bigquery"}))
    assert json.loads(project.manifest_path.read_text())["metadata"]["adapter_type"] == "bigquery"


def test_dbt_is_told_the_home_and_the_process_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str | None] = {}
    monkeypatch.setattr(
        DbtCliResource,
        "cli",
        lambda *_, **__: seen.update({name: os.environ.get(name) for name in ("AISLE_HOME", "DBT_TARGET_PATH")}),
    )
    monkeypatch.setenv("AISLE_HOME", "relative")
    monkeypatch.delenv("DBT_TARGET_PATH", raising=False)
    Dbt.of(PlatformSettings(home=tmp_path)).cli(["build"])

    assert seen == {"AISLE_HOME": str(tmp_path), "DBT_TARGET_PATH": str(tmp_path / "dbt")}
    assert (os.environ["AISLE_HOME"], os.environ.get("DBT_TARGET_PATH")) == ("relative", None)


def test_only_the_last_commands_leave_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt_module, "KEPT_INVOCATIONS", 2)
    for age in range(4):
        results = tmp_path / f"command-{age}" / "run_results.json"
        results.parent.mkdir()
        results.write_text("{}")
        os.utime(results.parent, (1_000 - age, 1_000 - age))
    dbt_module._forget_old(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["command-0", "command-1"]


def test_every_platform_has_its_target() -> None:
    assert {target_of(platform) for platform in Platform} == {"duckdb", "bigquery"}


def test_features_are_cut_where_the_split_needs_them() -> None:
    cut = datetime.fromisoformat("2024-05-01T00:00:00+00:00")
    split = TimeSplit.at(cut)
    needed = {split.cut, split.test.start, *split.ranker_cuts}
    cuts = {int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) for day in FeatureCuts().until(cut)}

    assert cuts == needed


def test_what_was_built_before_a_command_failed_is_still_told() -> None:
    def stream() -> Iterator[str]:
        yield "built"
        raise DagsterDbtCliRuntimeError("a test failed")

    events, failure = dbt_module._exhausted(stream())
    assert events == ["built"]
    assert "a test failed" in str(failure)
