"""What the service answered is made again by the graph's own check, from the log and the releases alone."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from ml.release.publish import publish
from ml.runtime import recommend
from orchestration.checks.feedback_checks import logged_lists_can_be_made_again
from orchestration.definitions import defs
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.sources.resource import SourceResource
from serving.app import create_app
from serving.settings import ServiceSettings
from tests.serving.conftest import TestClient, wait_until
from tests.serving.test_lists import CART, EVENTS, HOMEPAGE, PRODUCT, RANK, TOGETHER
from tests.serving.test_promises import _ruled as ruled

ASKED = 6


@pytest.fixture(scope="module")
def two_releases(bundles, tmp_path_factory) -> Path:
    """Both under rules, the second one exploring."""
    made = tmp_path_factory.mktemp("made")
    for number, folder in enumerate(bundles):
        version, _ = ruled(folder, made, number)
        (made / version).rename(made / f"{number}")
    return made


@pytest.fixture
def home(two_releases: Path, tmp_path: Path) -> Path:
    """A service answered from one release, then from the next, and is gone."""
    releases = tmp_path / "releases"
    live = publish(two_releases / "0", releases=releases, now=datetime.now(UTC)).version
    with TestClient(create_app(ServiceSettings(home=tmp_path, poll_seconds=0.01))) as client:
        ask(client)
        following = publish(two_releases / "1", releases=releases, now=datetime.now(UTC)).version
        wait_until(lambda: client.get("/readyz").json()["bundle_version"] == following)
        ask(client)
    assert live != following
    return tmp_path


def ask(client: TestClient) -> None:
    """`ASKED` lists: of a user with and without news, of a session, about items."""
    client.get(HOMEPAGE, params={"user_id": "u001", "limit": 20})
    event = {"item_id": "i003", "event_type": "cart_add", "user_id": "u001"}
    assert client.post(EVENTS, json=event).json()["accepted"] == 1
    client.get(HOMEPAGE, params={"user_id": "u001", "limit": 20, "region": "AT"})
    client.get(f"{PRODUCT}/i002", params={"session_id": "s1"})
    client.get(f"{TOGETHER}/i002")
    client.post(CART, json={"item_ids": ["i001"], "recent_items": ["i005"]})
    client.post(RANK, json={"item_ids": ["i001", "i004", "i007"], "user_id": "u002"})


def judged(home: Path, recipe: str = "{}") -> dg.AssetCheckResult:
    (home / "recipe.yaml").write_text(recipe)
    return logged_lists_can_be_made_again(
        source=SourceResource(feedback=f"sqlite:///{home}/feedback.db"),
        releases=ReleaseStore(home=str(home)),
        recipe=RecipeResource(path=str(home / "recipe.yaml"), checkpoint_folder=str(home)),
    )


def told(result: dg.AssetCheckResult) -> dict[str, object]:
    return {name: value.value for name, value in result.metadata.items()}


def test_every_logged_list_of_both_releases_is_made_again(home: Path) -> None:
    result = judged(home)
    assert result.passed, result.description
    facts = told(result)
    assert facts["lists_made_again"] == 2 * ASKED
    assert facts["worst_difference"] <= facts["threshold"] == 1e-5
    assert facts["items_compared"] > 2 * ASKED


def test_features_computed_otherwise_than_when_they_were_served_fail_the_check(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = recommend.features_of

    def otherwise(*arguments: object, **more: object) -> np.ndarray:
        features = right(*arguments, **more)
        return np.where(np.arange(features.shape[1]) < features.shape[1] // 2, 0, features).astype(np.float32)

    monkeypatch.setattr(recommend, "features_of", otherwise)
    result = judged(home)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    facts = told(result)
    worst = result.metadata["worst"].records
    assert facts["different_lists"] == len(worst)
    assert {row.data["surface"] for row in worst} <= {"homepage", "rank"}
    assert worst[0].data["request_id"] in result.description
    assert worst[0].data["found"] in result.description


def test_lists_of_a_release_that_is_gone_are_told_and_not_passed_over(home: Path) -> None:
    live, other = (ReleaseStore(home=str(home)).live_bundle(), sorted((home / "releases").glob("[!.]*/")))
    gone = next(folder for folder in other if folder.name != live.name)
    shutil.rmtree(gone)
    result = judged(home)
    assert (result.passed, told(result)["release_no_longer_kept"]) == (True, ASKED)
    shutil.rmtree(live)
    result = judged(home)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert told(result)["release_no_longer_kept"] == 2 * ASKED


def test_the_recipe_says_how_many_of_the_newest_are_made_again(home: Path) -> None:
    assert told(judged(home, "parity: {lists: 3}"))["lists_made_again"] == 3


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Path]:
    """A service without a release, which was asked for nothing."""
    with TestClient(create_app(ServiceSettings(home=tmp_path))):
        yield tmp_path


@pytest.mark.parametrize("home_of", ["begun", "tmp_path"])
def test_where_nothing_was_logged_the_check_warns_that_it_saw_nothing(home_of: str, request) -> None:
    result = judged(request.getfixturevalue(home_of))
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == "Nothing to judge: the service has logged no list."


def test_the_check_stands_where_the_log_lands() -> None:
    key = dg.AssetCheckKey(dg.AssetKey(["raw", "impressions"]), "logged_lists_can_be_made_again")
    checks = defs.resolve_asset_graph().asset_check_keys
    assert key in checks
    assert all(
        key in defs.resolve_job_def(name).asset_layer.asset_graph.asset_check_keys for name in ["train_and_release"]
    )
