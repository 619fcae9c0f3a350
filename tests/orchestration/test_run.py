"""What a person sees of a run."""

import io
import re
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from orchestration.calendar import Calendar
from orchestration.run import ROOT, dagster_home, run_job, whole_range
from orchestration.settings import PlatformSettings, Source
from orchestration.terminal import Terminal
from tests.orchestration.stub_shop import StubShop

DAYS = whole_range(Calendar(source=Source.DEMO, first_day=date(2026, 8, 1), last_day=date(2026, 9, 29)))


def test_every_finished_step_has_its_line_and_its_seconds(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    said = io.StringIO()
    finished = run_job(stub_definitions, "train_and_release", instance, terminal=Terminal(said), tags=DAYS)
    lines = [line for line in said.getvalue().splitlines() if "[" in line]
    assert finished.success
    assert len(lines) == 19  # 18 assets and one check
    assert re.fullmatch(r" +\d+\.\d s  \[19/19\] \S+", lines[-1])
    stations = {line.split()[0] for line in finished.progress.table().splitlines()[1:]}
    assert stations == {"ingest", "warehouse", "training", "release", "all"}


def test_a_failed_step_is_named_with_its_reason(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.fails = "ml/ranker"
    said = io.StringIO()
    finished = run_job(stub_definitions, "train_and_release", instance, terminal=Terminal(said), tags=DAYS)
    assert not finished.success
    assert finished.progress.failures == ["ml/ranker failed. RuntimeError: ml/ranker was told to fail"]
    assert "  FAILED   ml/ranker" in said.getvalue()
    assert "Traceback" not in said.getvalue()
    assert "ml/candidate_bundle" not in said.getvalue(), "what could not run any more is not news"
    assert "Dependencies" not in said.getvalue()


def test_a_blocking_check_that_does_not_hold_is_named(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.catalogue_is_whole = False
    finished = run_job(stub_definitions, "train_and_release", instance, terminal=Terminal(io.StringIO()), tags=DAYS)
    assert not finished.success
    assert finished.progress.failures[0].startswith("catalogue_is_whole of marts/dim_items does not hold")
    assert "ml/training_examples" not in shop.ran


def test_a_check_goes_by_its_sentence(stub_definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    said = io.StringIO()
    run_job(stub_definitions, "train_and_release", instance, terminal=Terminal(said), tags=DAYS)
    assert "check catalogue_is_whole\n" in said.getvalue()
    assert "] ml/ann_index\n" in said.getvalue()


def test_the_default_home_shares_its_history_with_the_ui_and_another_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dagster_home(PlatformSettings(home=ROOT / ".aisle")) == ROOT
    folder = dagster_home(PlatformSettings(home=tmp_path))
    assert folder == tmp_path / "dagster"
    assert f"base_dir: {folder}/storage" in (folder / "dagster.yaml").read_text()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert not instance.telemetry_enabled
