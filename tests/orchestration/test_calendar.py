from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml.contract.errors import MappingError, PlatformError
from orchestration.calendar import DAYS_OF_HISTORY, calendar_of, remember
from orchestration.settings import Platform, PlatformSettings, Source

NOW = datetime(2026, 9, 30, 3, 59, tzinfo=UTC)
LATER = datetime(2026, 10, 7, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PlatformSettings.model_fields:
        monkeypatch.delenv(f"AISLE_{name.upper()}", raising=False)


def demo(home: Path, **changes: object) -> PlatformSettings:
    return PlatformSettings(home=home, **changes)  # type: ignore[arg-type]


def test_a_new_demo_shop_opened_its_history_ago_and_ends_yesterday(tmp_path: Path) -> None:
    calendar = calendar_of(demo(tmp_path), now=NOW)
    assert calendar.until(NOW) == date(2026, 9, 29)
    assert (calendar.until(NOW) - calendar.first_day).days + 1 == DAYS_OF_HISTORY
    assert not list(tmp_path.iterdir()), "asking writes nothing"


def test_a_remembered_shop_goes_on_the_next_day(tmp_path: Path) -> None:
    opened = remember(demo(tmp_path), now=NOW)
    later = calendar_of(demo(tmp_path), now=LATER)
    assert later.first_day == opened.first_day
    assert later.until(LATER) == date(2026, 10, 6)


def test_another_day_than_yesterday_can_be_named(tmp_path: Path) -> None:
    remember(demo(tmp_path), now=NOW)
    calendar = calendar_of(demo(tmp_path, as_of=date(2026, 9, 1)), now=LATER)
    assert calendar.until(LATER) == date(2026, 9, 1)


@pytest.mark.parametrize("change", [{"shop_size": "tiny"}, {"shop_seed": 8}])
def test_a_home_keeps_to_one_shop(tmp_path: Path, change: dict[str, object]) -> None:
    remember(demo(tmp_path), now=NOW)
    with pytest.raises(PlatformError, match="holds another shop"):
        calendar_of(demo(tmp_path, **change), now=NOW)


def test_a_day_before_the_shop_opened_is_refused(tmp_path: Path) -> None:
    remember(demo(tmp_path), now=NOW)
    with pytest.raises(PlatformError, match="must be a day the shop was open"):
        calendar_of(demo(tmp_path, as_of=date(2026, 1, 1)), now=NOW)


def test_files_bring_their_own_days_and_may_grow(tmp_path: Path) -> None:
    mapping = tmp_path / "shop.yaml"
    mapping.write_text(
        "interactions:\n  path: sales.csv\n  columns: {user_id: who, item_id: what, occurred_at: at}\n"
        "  event_type: purchase\n"
    )
    sales = tmp_path / "sales.csv"
    sales.write_text("who,what,at\nu1,i1,2011-03-01 10:00:00\nu2,i1,2011-03-05 10:00:00\n")
    settings = demo(tmp_path / "home", source=Source.FILES, mapping=mapping)
    first = remember(settings, now=NOW)
    assert (first.first_day, first.until(NOW)) == (date(2011, 3, 1), date(2011, 3, 5))
    with sales.open("a") as file:
        file.write("u1,i2,2011-03-09 10:00:00\n")
    assert remember(settings, now=NOW).until(NOW) == date(2011, 3, 9)
    assert calendar_of(settings, now=NOW).until(NOW) == date(2011, 3, 9)


TABLES = """
interactions:
  table: shop.sales
  first_day: 2026-01-05
  columns: {user_id: who, item_id: what, occurred_at: at}
  event_type: purchase
"""


def on_gcp(home: Path, **changes: object) -> PlatformSettings:
    return demo(
        home,
        platform=Platform.GCP,
        gcp_project="p",
        gcp_bucket="shop-b",
        pseudonym_key="a-secret-of-our-own",
        mlflow_tracking_uri="https://mlflow.example.com",
        **changes,
    )


def test_tables_in_place_have_the_days_of_their_mapping_whatever_a_home_remembers(tmp_path: Path) -> None:
    mapping = tmp_path / "shop.yaml"
    mapping.write_text(TABLES)
    settings = on_gcp(tmp_path / "home", source=Source.BIGQUERY, mapping=mapping)
    assert calendar_of(settings, now=NOW).first_day == remember(settings, now=NOW).first_day == date(2026, 1, 5)
    assert calendar_of(settings, now=LATER).until(LATER) == date(2026, 10, 6)
    mapping.write_text(TABLES.replace("2026-01-05", "2026-02-01\n  last_day: 2026-03-01"))
    assert calendar_of(settings, now=NOW).first_day == date(2026, 2, 1)
    assert calendar_of(settings, now=NOW).until(NOW) == date(2026, 3, 1)


def test_tables_in_place_need_a_first_day(tmp_path: Path) -> None:
    mapping = tmp_path / "shop.yaml"
    mapping.write_text(TABLES.replace("  first_day: 2026-01-05\n", ""))
    with pytest.raises(MappingError, match="AISLE_SOURCE=bigquery needs `first_day` under `interactions`"):
        calendar_of(on_gcp(tmp_path / "home", source=Source.BIGQUERY, mapping=mapping), now=NOW)


def test_tables_in_place_are_bigquerys(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"needs AISLE_PLATFORM=gcp\. Received: embedded"):
        demo(tmp_path, source=Source.BIGQUERY, mapping=tmp_path / "shop.yaml")


def test_files_need_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="AISLE_SOURCE=files needs: AISLE_MAPPING"):
        demo(tmp_path, source=Source.FILES)


@pytest.mark.parametrize(("given", "lacking"), [("weights", "dir"), ("dir", "weights")])
def test_weights_for_pictures_need_the_pictures_and_pictures_the_weights(
    tmp_path: Path, given: str, lacking: str
) -> None:
    message = rf"belong together\. Received: AISLE_IMAGE_{given.upper()} alone\. Set AISLE_IMAGE_{lacking.upper()} too"
    with pytest.raises(ValidationError, match=message):
        demo(tmp_path, **{f"image_{given}": tmp_path})


def test_a_cloud_platform_names_everything_it_lacks_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ValidationError,
        match=r"AISLE_MAPPING, .*AISLE_GCP_PROJECT, .*AISLE_GCP_BUCKET, .*AISLE_PSEUDONYM_KEY, .*not the development default; "
        r"AISLE_MLFLOW_TRACKING_URI, .*would take the registry with it\. Received: none of these\. Set them\.",
    ):
        demo(tmp_path, platform=Platform.GCP, source=Source.FILES)
    assert on_gcp(tmp_path).in_bucket("releases") == "gs://shop-b/releases"
    assert demo(tmp_path).in_bucket("releases") is None


@pytest.mark.parametrize("bucket", ["gs://b", "B", "b/c", ""])
def test_a_bucket_is_named_without_its_scheme(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(ValidationError, match="gcp_bucket"):
        demo(tmp_path, gcp_bucket=bucket)
