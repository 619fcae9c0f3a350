from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import ReleaseError
from ml.contract.manifest import Manifest
from ml.release.gate import PerUserMetrics, Verdict, judge
from ml.release.registry import Candidate, Registry
from ml.runtime.bundle import verified
from ml.storage import store_at
from tests.ml.release.conftest import MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def verdict(*, gain: float) -> Verdict:
    users = tuple(map(str, range(100)))
    hard = np.linspace(0.1, 0.5, 100)
    return judge(
        PerUserMetrics(users, {"all": hard + gain}), champion=None, popularity=PerUserMetrics(users, {"all": hard})
    )


def test_the_champion_moves_only_when_the_gate_passes(make_bundle: MakeBundle, tmp_path: Path) -> None:
    registry = Registry.under(tmp_path / "home")
    report = tmp_path / "report.html"
    report.write_text("<html></html>")
    assert registry.champion() is None

    bundle = make_bundle(1)
    first = registry.log_candidate(
        bundle,
        Candidate(
            metrics={"ndcg@10": 0.3},
            curves={"weights.query_tower.std": [(0, 0.05), (1, 0.07)]},
            params={"dimension": "4"},
            tags={"dagster/run_id": "r1"},
            reports=(report,),
        ),
    )
    assert registry.champion() is None
    registry.promote(first, verdict(gain=0.1))
    assert registry.champion() == first

    second = registry.log_candidate(make_bundle(2), Candidate())
    with pytest.raises(ReleaseError, match="must pass the gate"):
        registry.promote(second, verdict(gain=-0.1))
    assert registry.champion() == first
    registry.promote(second, verdict(gain=0.1))
    assert registry.champion() == second
    assert [version.number for version in registry.versions()] == [2, 1]

    assert registry.restore(first.bundle_version) == first
    assert registry.champion() == first
    with pytest.raises(ReleaseError, match="must hold the bundle"):
        registry.restore("2020-01-01-nowhere")

    assert registry.log_candidate(bundle, Candidate()) == first, "the same bundle is the same version"
    kept = Path(first.source.removeprefix("file://"))
    assert verified(kept).version == Manifest.read(bundle).version
    run = registry._client.get_run(first.run_id)
    assert run.data.metrics == {"ndcg_at_10": 0.3, "weights.query_tower.std": 0.07}
    curve = registry._client.get_metric_history(first.run_id, "weights.query_tower.std")
    assert [(point.step, point.value) for point in curve] == [(0, 0.05), (1, 0.07)]
    assert run.data.tags["dagster/run_id"] == "r1"
    assert (kept.parent / "reports" / "report.html").exists()


def test_everything_lies_under_the_home_folder(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    Registry.under(tmp_path / "home").log_candidate(make_bundle(1), Candidate())
    assert not list(elsewhere.iterdir())
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"mlflow.db", "mlflow-artifacts"}


def test_bytes_may_lie_in_a_bucket(make_bundle: MakeBundle, tmp_path: Path, bucket_uri: str) -> None:
    registry = Registry.under(tmp_path / "home", artifact_root=f"{bucket_uri}/mlflow")
    logged = registry.log_candidate(make_bundle(1), Candidate())
    assert logged.source.startswith(f"{bucket_uri}/mlflow/")
    kept = store_at(logged.source).read("ranker.txt")
    assert kept is not None
    assert kept.data == b"trees of day 1"
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"mlflow.db"}


def test_another_database_may_keep_the_book(make_bundle: MakeBundle, tmp_path: Path) -> None:
    tracking_uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    Registry.under(tmp_path / "home", tracking_uri=tracking_uri).log_candidate(make_bundle(1), Candidate())
    assert [each.number for each in Registry.under(tmp_path / "other", tracking_uri=tracking_uri).versions()] == [1]
