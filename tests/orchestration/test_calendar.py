from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml.contract.errors import PlatformError
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


def test_files_need_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="AISLE_SOURCE=files needs AISLE_MAPPING"):
        demo(tmp_path, source=Source.FILES)


def test_the_development_key_is_refused_where_real_people_are(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs a pseudonym key of its own"):
        demo(tmp_path, platform=Platform.GCP)


def test_a_platform_that_is_not_built_yet_says_what_is_missing(tmp_path: Path) -> None:
    from orchestration.resources import resources_for

    with pytest.raises(PlatformError, match="still lacks its warehouse"):
        resources_for(demo(tmp_path, platform=Platform.GCP, pseudonym_key="a-secret-of-our-own"))
