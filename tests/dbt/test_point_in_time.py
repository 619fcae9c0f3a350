"""Features know what was known then, and nothing that came later."""

import shutil
from datetime import datetime, timedelta
from math import exp
from pathlib import Path

import pytest

from ml.contract.events import EventType, decayed_weight
from ml.features.pseudonym import pseudonym
from tests.dbt.shop import CATALOGUE, CUTS, FIRST_DAY, KEY, PROJECT, DbtHome, a_shop, event

LEAK = "assert_features_know_only_their_past"


def features(home: DbtHome, *, until: str) -> list[tuple[object, ...]]:
    return [
        row
        for table in ("feat_items", "feat_users")
        for row in home.rows(f"select * from marts.{table} where cut_at <= timestamp '{until}' order by all")
    ]


def test_a_late_row_never_changes_a_past_training_row(home: DbtHome) -> None:
    rows = a_shop()
    home.land(rows, items=CATALOGUE)
    assert not home.build(cuts=CUTS).failed
    before = features(home, until=CUTS[1])

    # Bought before the second cut, told on the day after it: by an old hand and by somebody never seen.
    arrived = datetime.fromisoformat(CUTS[1]) + timedelta(hours=30)
    happened = datetime.fromisoformat(CUTS[0]) - timedelta(hours=5)
    late = [event(user, "i1", happened, "purchase", price=1.0, received_at=arrived) for user in ("u1", "newcomer")]
    home.land([*rows, *late], items=CATALOGUE)
    window = {"start_date": str(arrived.date()), "end_date": str(arrived.date())}
    assert not home.build(cuts=CUTS, **window).failed

    assert before
    assert features(home, until=CUTS[1]) == before
    newcomer = pseudonym("newcomer", KEY)
    assert home.rows(f"select cut_at from marts.feat_users where user_id = '{newcomer}'") == [
        (datetime.fromisoformat(CUTS[2]),)
    ]


@pytest.mark.parametrize(
    ("model", "honest", "leaking"),
    [
        ("feat_items", "on days.known_date < cuts.cut_date", "on days.event_date < cuts.cut_date"),
        ("feat_users", "on days.known_date < cuts.cut_date", "on days.event_date < cuts.cut_date"),
        ("feat_items", "on first_purchases.known_date < cuts.cut_date", "on true"),
        ("feat_users", "on first_meetings.known_date < cuts.cut_date", "on true"),
    ],
)
def test_a_planted_leak_fails_the_build(built: DbtHome, tmp_path: Path, model: str, honest: str, leaking: str) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    file = project / "models" / "marts" / f"{model}.sql"
    assert honest in file.read_text()
    file.write_text(file.read_text().replace(honest, leaking))
    home = DbtHome(tmp_path / "home", project)
    home.path.mkdir()
    shutil.copy(built.warehouse, home.warehouse)

    assert LEAK in home.build("--select", "feat_items", "feat_users", cuts=CUTS).failed


def test_a_value_altered_by_hand_fails_the_test(built: DbtHome, home: DbtHome) -> None:
    shutil.copy(built.warehouse, home.warehouse)
    home.execute("update marts.feat_items set buyers_all = buyers_all + 1 where item_id = 'i1'")

    assert LEAK in home.dbt("test", "--select", LEAK, cuts=CUTS).failed


def test_weights_fade_as_the_contract_says(home: DbtHome) -> None:
    cut = datetime(2024, 5, 21)
    purchased, viewed = cut - timedelta(days=20, hours=-6), cut - timedelta(hours=1)
    home.land([event("u", "i", purchased, "purchase"), event("u", "i", viewed)])
    assert not home.build(cuts=["2024-05-21"]).failed

    expected = decayed_weight(EventType.PURCHASE, age_days=19.75) + 1 * exp(-(1 / 24) / 30)
    assert home.rows("select weight_decayed from marts.feat_items") == [(pytest.approx(expected, abs=1e-6),)]


def test_without_cuts_there_is_one_the_midnight_after_the_newest_event(home: DbtHome) -> None:
    home.land([event("u", "i", datetime(2024, 5, 1, 9)), event("u", "j", datetime(2024, 5, 3, 9))])
    assert not home.build().failed

    assert home.rows("select distinct cut_at from marts.feat_items") == [(datetime(2024, 5, 4),)]


def test_a_cut_inside_a_day_is_refused(built: DbtHome) -> None:
    result = built.dbt("run", "--select", "int_feature_cuts", cuts=[f"{FIRST_DAY} 12:00:00"])

    assert result.failed == {"int_feature_cuts"}
    assert (
        "must be a midnight, YYYY-MM-DD[ 00:00:00]. Received: 2024-05-01 12:00:00"
        in result.messages["int_feature_cuts"]
    )
