"""The last step of a run: what was judged against one champion never takes the place of another."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from ml.bundle.write import BundleFolder
from ml.candidates.models import StoredRetriever
from ml.contract.errors import ReleaseError
from ml.contract.manifest import Manifest
from ml.contract.release import ReleasePointer
from ml.dataset.training_data import TrainingData
from ml.evaluation.report import EvaluationReport, EvaluationSettings, Summary
from ml.release import publish
from ml.release.gate import PerUserMetrics, Verdict, judge
from orchestration.assets.release import released_bundle
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from tests import world
from tests.ml.release.conftest import MakeBundle, make_bundle

__all__ = ["make_bundle"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
NOW = datetime(2026, 9, 9, tzinfo=UTC)


def surely_better() -> Verdict:
    users, hard = tuple(map(str, range(100))), np.linspace(0.1, 0.5, 100)
    return judge(
        PerUserMetrics(users, {"all": hard + 0.1}), champion=None, popularity=PerUserMetrics(users, {"all": hard})
    )


class Station:
    """`released_bundle` in a home of its own, after a contest that was won. The contest has tests of its own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.releases = ReleaseStore(home=str(home))
        self._recipe = RecipeResource(checkpoint_folder=str(home / "checkpoints"))
        self._reports = ReportFolder(path=str(home / "reports"))
        monkeypatch.setattr("orchestration.assets.release.judge_report", lambda *_, **__: surely_better())

    def release(self, bundle: Path, *, judged_against: str) -> None:
        candidate = BundleFolder(bundle, Manifest.read(bundle).version)
        summary = Summary(
            bundle_version=candidate.version, champion_version=judged_against, history_from=NOW, cut_at=NOW, test_until=NOW,
            num_users=0, num_items=0, num_pairs=0, settings=EvaluationSettings(), slices=(), scores=(), comparisons=(), coverage=(),
        )  # fmt: skip

        @dg.asset
        def training_examples() -> TrainingData:
            return world.training_data()

        @dg.asset
        def retriever() -> StoredRetriever:
            return StoredRetriever(bundle)

        @dg.asset
        def candidate_bundle() -> BundleFolder:
            return candidate

        @dg.asset
        def offline_report(context: dg.AssetExecutionContext, reports: ReportFolder) -> EvaluationReport:
            reports.page("offline_report", context.run_id).write_text("<html></html>")
            return EvaluationReport(summary, per_user=None)  # type: ignore[arg-type]  # read by the contest alone

        resources = {"releases": self.releases, "recipe": self._recipe, "reports": self._reports}
        dg.materialize(
            [training_examples, retriever, candidate_bundle, offline_report, released_bundle],
            resources={**resources, "io_manager": dg.mem_io_manager},
        )


def test_a_winner_is_released_unless_another_champion_is_live_than_it_was_judged_against(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = Station(tmp_path / "home", monkeypatch)
    folder = station.releases.folder
    first = publish(make_bundle(1), releases=folder, now=NOW)

    second = make_bundle(2)
    station.release(second, judged_against=first.version)
    live = ReleasePointer.read(folder)
    assert (live.version, live.previous) == (Manifest.read(second).version, first.version)
    champion = station.releases.registry().champion()
    assert champion is not None
    assert champion.bundle_version == live.version

    with pytest.raises(ReleaseError, match=rf"was to replace {first.version}\. Received: {live.version}"):
        station.release(make_bundle(3), judged_against=first.version)
    assert ReleasePointer.read(folder) == live
    assert station.releases.registry().champion() == champion
