"""What the command says, and the code it ends with."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml.contract.release import ReleasePointer
from ml.dataset.training_data import TrainingData
from ml.experiments.recipe import Recipe
from ml.release import Candidate, Registry, publish, published
from ml.storage import store_at
from orchestration import cli
from orchestration.resources import artifacts_of
from orchestration.resources.releases import ReleaseStore
from orchestration.settings import PlatformSettings
from tests import world
from tests.gcs import BUCKET, GcsServer
from tests.ml.experiments.test_compare import RECIPES
from tests.ml.release.conftest import MakeBundle, make_bundle

__all__ = ["make_bundle"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for option in cli.OPTIONS:
        monkeypatch.delenv(f"AISLE_{option.removeprefix('--').replace('-', '_').upper()}", raising=False)
    monkeypatch.setenv("AISLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_rollback_moves_the_pointer_and_the_registry_together(
    home: Path, make_bundle: MakeBundle, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = Registry.under(home)
    for day in (1, 2):
        bundle = make_bundle(day)
        registry.log_candidate(bundle, Candidate())
        publish(bundle, releases=home / "releases", now=datetime(2026, 9, day, 5, tzinfo=UTC))
    newest, oldest = (version.bundle_version for version in registry.versions())

    assert cli.main(["releases"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"* {newest}  data until 2026-09-01",
        f"  {oldest}  data until 2026-08-31",
    ]

    assert cli.main(["rollback"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith(f"Live again: {oldest} (before: {newest}).")
    assert said[-1] == "Registry: `champion` is version 1."
    champion = registry.champion()
    assert champion is not None
    assert champion.bundle_version == oldest

    assert cli.main(["rollback", "--to", "2020-01-01-nowhere"]) == 1
    assert "A rollback needs a version that is still here" in capfd.readouterr().out


@pytest.mark.usefixtures("home")
def test_releases_in_a_bucket_are_listed_and_rolled_back_from_any_machine(
    home: Path,
    make_bundle: MakeBundle,
    gcs: GcsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = {
        "PLATFORM": "gcp",
        "GCP_PROJECT": "shop",
        "GCP_BUCKET": BUCKET,
        "PSEUDONYM_KEY": "a key of the shop's own",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"AISLE_{name}", value)
    registry, remote = ReleaseStore.of(PlatformSettings()).registry(), store_at(f"{gcs.uri}/releases")
    for day in (1, 2):
        bundle = make_bundle(day)
        registry.log_candidate(bundle, Candidate())
        publish(bundle, releases=tmp_path / "another", now=datetime(2026, 9, day, 5, tzinfo=UTC), remote=remote)
    newest, oldest = (version.bundle_version for version in registry.versions())

    assert cli.main(["releases"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"* {newest}  data until 2026-09-01",
        f"  {oldest}  data until 2026-08-31",
    ]
    assert cli.main(["rollback"]) == 0
    assert f"Live again: {oldest} (before: {newest})" in capfd.readouterr().out
    assert [release.version for release in published(remote) if release.is_live] == [oldest]
    assert ReleasePointer.read(home / "releases").version == oldest


def test_nothing_released_yet_says_what_to_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["releases"]) == 0
    assert capfd.readouterr().out.startswith("Nothing is released yet. Run `make demo`")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AISLE_SOURCE", "files", "AISLE_SOURCE=files needs: AISLE_MAPPING"),
        ("AISLE_SHOP_SIZE", "huge", "shop_size: Input should be 'tiny', 'demo' or 'large'"),
        ("AISLE_AS_OF", "yesterday", "as_of: "),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert cli.main(["run"]) == 1
    [line] = capfd.readouterr().out.splitlines()
    assert said in line


def test_an_option_is_its_environment_variable(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AISLE_SHOP_SIZE", "demo")
    seen: list[str] = []
    monkeypatch.setattr(cli, "_run_everything", lambda settings, _terminal: not seen.append(settings.shop_size))
    monkeypatch.setattr(cli, "_show", lambda _settings, _terminal: 0)
    assert cli.main(["run", "--shop-size", "tiny"]) == 0
    assert seen == ["tiny"]
    assert not home.exists()


@dg.asset(key_prefix="ml")
def training_examples() -> TrainingData:
    return world.training_data(weeks=8)


@pytest.fixture
def snapshot(home: Path) -> None:
    """What a run leaves for those who try recipes."""
    home.mkdir()
    assert dg.materialize([training_examples], resources={"io_manager": artifacts_of(PlatformSettings())}).success


def aisle(prelude: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, since it sends what libraries print elsewhere; the prelude replaces what would take minutes."""
    program = f"{prelude}\nimport sys\nfrom orchestration import cli\nsys.exit(cli.main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.usefixtures("snapshot")
def test_recipes_are_compared_by_their_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{recipe.name}.yaml" for recipe in RECIPES]
    for recipe, file in zip(RECIPES, files, strict=True):
        file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    done = aisle(
        "from ml.experiments import compare\nfrom tests.ml.experiments.test_compare import judged_without_training\n"
        "compare.train_and_judge = judged_without_training",
        "compare",
        *map(str, files),
        "--weeks",
        "1",
    )
    assert done.returncode == 0, done
    assert "ranks better than popular" in done.stdout


@pytest.mark.usefixtures("snapshot")
def test_a_search_says_where_the_best_recipe_lies(tmp_path: Path) -> None:
    (tmp_path / "hills.yaml").write_text("weeks: 1\nsearch:\n  ranker.l2: {low: 1.0, high: 9.0}\n")
    done = aisle(
        "from ml.experiments.judges import JUDGES\nfrom tests.ml.experiments.test_search import hill\nJUDGES['lists'] = hill",
        "search",
        str(tmp_path / "hills.yaml"),
        "--trials",
        "2",
    )
    assert done.returncode == 0, done
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert Recipe.read(Path(said["recipe"])).name == "hills"


@pytest.mark.parametrize("command", ["search", "compare"])
def test_recipes_are_not_tried_before_there_is_a_run(
    command: str, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "given.yaml"
    file.write_text("search: {ranker.l2: {low: 1.0, high: 9.0}}" if command == "search" else "name: other")
    assert cli.main([command, str(file)]) == 1
    assert f"Recipes are tried on the snapshot of a run. Received: none in {home}." in capfd.readouterr().out


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ["search", "compare"])
def test_a_file_that_no_recipe_can_be_made_of_is_named_with_the_field(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "given.yaml"
    file.write_text("search: {ranker.depth: [1, 2]}" if command == "search" else "ranker: {depth: 1}")
    assert cli.main([command, str(file)]) == 1
    assert "depth" in capfd.readouterr().out
