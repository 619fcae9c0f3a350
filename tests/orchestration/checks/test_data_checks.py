"""Each rule trips on the dirt it is about, and on nothing else."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from ml.contract.errors import PlatformError
from orchestration.checks.data_checks import data_checks
from orchestration.checks.expectations import Expectations, Verdict
from orchestration.checks.suites import MAX_AGE_DAYS, MAX_EVENTS_PER_DAY, TOLERATED_SHARE, Rule, Suite, suites_for
from orchestration.settings import PlatformSettings
from tests.dbt.shop import DbtHome, Row, event

# Great Expectations 1.24 imports them.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_.*' is deprecated:DeprecationWarning")

MORNING = datetime(2024, 5, 1, 8)
CLEAN = [event(f"u{n % 7}", f"i{n}", MORNING + timedelta(days=n % 10)) for n in range(90)]
LATER = MORNING + timedelta(days=8)
DIRT: dict[str, list[Row]] = {
    "users_are_given": [event(None, "i1", LATER), event("  ", "i2", LATER)],
    "items_are_given": [event("u1", None, LATER + timedelta(seconds=n)) for n in range(3)],
    "times_are_given": [event("u2", f"i{n}", None) for n in range(4)],
    "event_types_are_known": [event("u3", f"i{n}", LATER, "teleport") for n in range(5)],
    "events_are_not_from_the_future": [
        *(event("u4", f"j{n}", LATER, received_at=LATER - timedelta(seconds=1)) for n in range(3)),
        *(event("u4", f"k{n}", LATER, landed_on=MORNING.date()) for n in range(3)),
    ],
    "events_are_not_older_than_two_years": [
        event("u5", f"i{n}", LATER - timedelta(days=MAX_AGE_DAYS + 1), landed_on=LATER.date()) for n in range(7)
    ],
    "users_do_not_act_like_bots": [
        event("robot", f"i{n}", LATER + timedelta(seconds=n)) for n in range(MAX_EVENTS_PER_DAY + 1)
    ],
    "events_are_not_repeated": [event("u6", f"r{n}", LATER) for n in range(4)] * 2,
}


def expectations_of(home: DbtHome) -> Expectations:
    return Expectations.of(PlatformSettings(home=home.path))


def verdicts(home: DbtHome, *names: str) -> dict[str, Verdict]:
    asked = [suite for suite in suites_for("duckdb") if suite.name in names]
    assert len(asked) == len(names)
    return {verdict.rule.name: verdict for verdict in expectations_of(home).verdicts(asked)}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> DbtHome:
    home = DbtHome(tmp_path_factory.mktemp("clean"))
    home.land(CLEAN)
    return home


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> DbtHome:
    home = DbtHome(tmp_path_factory.mktemp("dirty"))
    home.land([*CLEAN, *(row for rows in DIRT.values() for row in rows)])
    return home


def test_clean_rows_break_no_rule(clean: DbtHome) -> None:
    found = verdicts(clean, "raw_interactions_columns", "raw_interactions", "raw_daily_volume")
    assert {name for name, verdict in found.items() if not verdict.holds} == set()
    assert set(DIRT) < set(found)


def test_a_shop_that_logs_no_impressions_breaks_no_rule_about_them(clean: DbtHome) -> None:
    found = verdicts(clean, "raw_impressions")
    assert {verdict.num_rows for verdict in found.values()} == {0}
    assert all(verdict.holds for verdict in found.values())


def test_each_rule_tells_the_share_of_rows_that_break_it(dirty: DbtHome) -> None:
    num_rows = len(CLEAN) + sum(map(len, DIRT.values()))
    # The robot's day alone is most of the rows, so the others stay below a tolerated share of 1 %: the value is what counts.
    found = verdicts(dirty, "raw_interactions")
    for name, rows in DIRT.items():
        assert found[name].value == pytest.approx(len(rows) / num_rows), name
        assert found[name].holds == (len(rows) / num_rows <= TOLERATED_SHARE), name
    assert not found["users_do_not_act_like_bots"].holds


@pytest.mark.parametrize("name", [name for name in DIRT if name != "users_do_not_act_like_bots"])
def test_a_rule_broken_by_more_than_the_tolerated_share_does_not_hold(tmp_path: Path, name: str) -> None:
    home = DbtHome(tmp_path)
    home.land([*CLEAN, *DIRT[name]])
    assert {rule for rule, verdict in verdicts(home, "raw_interactions").items() if not verdict.holds} == {name}


def test_rows_out_of_scope_break_nothing(tmp_path: Path) -> None:
    home = DbtHome(tmp_path)
    home.land([*CLEAN, *(event(None, None, None, "x", excluded_because="not_a_sale") for _ in range(50))])
    assert all(verdict.holds for verdict in verdicts(home, "raw_interactions").values())


@pytest.mark.parametrize(("more_days", "share"), [(0, 0), (14, 1 / (10 + 14))])
def test_a_day_beyond_three_deviations_is_told(tmp_path: Path, more_days: int, share: float) -> None:
    # One day apart among n deviates by (n - 1) / sqrt(n) at most: 2.8 of ten days can never be beyond 3.
    home = DbtHome(tmp_path)
    days = [event("u1", f"d{n}", MORNING + timedelta(days=20 + n)) for n in range(more_days)]
    home.land([*CLEAN, *DIRT["users_do_not_act_like_bots"], *days])
    (verdict,) = verdicts(home, "raw_daily_volume").values()

    assert verdict.value == pytest.approx(share)
    assert verdict.holds is (share == 0)


def test_a_retyped_raw_column_is_told(tmp_path: Path) -> None:
    home = DbtHome(tmp_path)
    home.land(CLEAN)
    home.execute("alter table raw.interactions alter price type varchar")
    verdict = verdicts(home, "raw_interactions_columns")["columns_are_as_agreed"]
    assert (verdict.holds, verdict.value, verdict.rule.threshold) == (False, 13, 14)


def accepted(home: DbtHome, *, num_dirty: int, num_out_of_scope: int = 0) -> None:
    """95 facts and as many rejected rows as asked for."""
    home.land(CLEAN)
    home.execute("create schema marts")
    home.execute("create schema intermediate")
    home.execute("""
        create table marts.fct_interactions as
        select
            'e' || n as event_id, 'u' || n % 7 as user_id, 'i' || n as item_id, 'view' as event_type,
            timestamp '2024-05-01 08:00:00' as occurred_at, timestamp '2024-05-02 08:00:00' as known_at,
            cast(null as double) as amount, date '2024-05-01' as event_date
        from range(95) as numbers (n)
    """)
    home.execute(f"""
        create table intermediate.int_interactions_rejected as
        select 'dirty' as kind from range({num_dirty}) union all select 'out_of_scope' from range({num_out_of_scope})
    """)


@pytest.mark.parametrize(("num_dirty", "is_clean"), [(5, True), (6, False)])
def test_less_than_95_percent_of_clean_rows_stop_the_run(tmp_path: Path, num_dirty: int, is_clean: bool) -> None:
    home = DbtHome(tmp_path)
    accepted(home, num_dirty=num_dirty, num_out_of_scope=1000)
    verdict = verdicts(home, "interactions_accounting")["enough_rows_are_clean"]

    assert verdict.rule.blocking
    assert verdict.holds is is_clean
    assert verdict.value == pytest.approx(95 / (95 + num_dirty))


BREACHES = {
    "users_are_given": "user_id = null",
    "items_are_given": "item_id = null",
    "times_are_given": "occurred_at = null",
    "event_types_are_known": "event_type = 'teleport'",
    "events_are_not_from_the_future": "known_at = occurred_at - interval 1 second",
    "events_are_not_older_than_two_years": "known_at = occurred_at + interval 731 day",
    "events_are_not_repeated": "item_id = 'i1', user_id = 'u1'",
    "amounts_are_not_negative": "amount = -1",
}


def test_one_breach_of_a_mart_is_one_too_many(tmp_path: Path) -> None:
    home = DbtHome(tmp_path)
    accepted(home, num_dirty=0)
    assert all(verdict.holds for verdict in verdicts(home, "fct_interactions").values())

    for row, breach in enumerate(BREACHES.values(), start=10):
        home.execute(f"update marts.fct_interactions set {breach} where event_id = 'e{row}'")
    found = verdicts(home, "fct_interactions")
    assert {name for name, verdict in found.items() if not verdict.holds} == set(BREACHES)
    assert all(found[name].rule.blocking for name in BREACHES)


def test_the_checks_say_value_threshold_and_where_to_read_more(dirty: DbtHome) -> None:
    result = dg.materialize(
        _raw_assets(),
        instance=dg.DagsterInstance.ephemeral(),
        resources={"expectations": expectations_of(dirty)},
    )
    evaluations = {check.check_name: check for check in result.get_asset_check_evaluations()}
    bots = evaluations["users_do_not_act_like_bots"]

    assert result.success
    assert (bots.passed, bots.severity, bots.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert bots.metadata["value"].value == pytest.approx(
        len(DIRT["users_do_not_act_like_bots"]) / bots.metadata["rows"].value
    )
    assert bots.metadata["threshold"].value == TOLERATED_SHARE
    assert Path(str(bots.metadata["data_docs_file"].value)).exists()


def _raw_assets() -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    @dg.asset(key=["raw", "interactions"])
    def interactions() -> None: ...

    (checks,) = (check for check in data_checks if check.op.name == "check_raw_interactions")
    return [interactions, checks]


def test_nothing_keeps_the_warehouse_open_after_the_checks(clean: DbtHome) -> None:
    verdicts(clean, "raw_interactions_columns")
    # DuckDB refuses a connection of another kind while one is open in this process.
    with duckdb.connect(str(clean.warehouse)) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


def test_no_raw_user_id_reaches_data_docs(dirty: DbtHome) -> None:
    verdicts(dirty, "raw_interactions")
    pages = [
        path.read_text() for path in dirty.path.joinpath("expectations").rglob("*") if path.suffix in {".html", ".json"}
    ]
    assert pages
    assert not any("robot" in page for page in pages)


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_no_verdict(clean: DbtHome) -> None:
    rule = Rule("nothing", "ExpectColumnValuesToNotBeNull", {"column": "absent"}, threshold=0, blocking=True)
    suite = Suite("broken", ("raw", "interactions"), "select item_id from raw.interactions", (rule,))
    with pytest.raises(PlatformError, match="`nothing` could not be evaluated"):
        expectations_of(clean).verdicts([suite])


def test_a_rule_about_a_table_that_is_not_there_says_so_in_a_line(clean: DbtHome) -> None:
    rule = Rule("whole", "ExpectTableRowCountToBeBetween", {"min_value": 1}, threshold=1, blocking=True)
    suite = Suite("absent", ("raw", "absent"), "select * from raw.absent", (rule,))
    with pytest.raises(PlatformError, match="with name absent does not exist") as raised:
        expectations_of(clean).verdicts([suite])
    assert "\n" not in str(raised.value)


def test_both_dialects_ask_the_same() -> None:
    duckdb_suites, bigquery_suites = suites_for("duckdb"), suites_for("bigquery")
    assert [(suite.name, suite.asset, suite.rules) for suite in duckdb_suites] == [
        (suite.name, suite.asset, suite.rules) for suite in bigquery_suites
    ]


def test_names_are_unique_on_each_asset() -> None:
    names = [(suite.asset, rule.name) for suite in suites_for("duckdb") for rule in suite.rules]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("judged", "share", "holds"),
    [
        ([], 1.0, True),
        ([("text", None)] * 19 + [("text", "wrong_length")] + [("text", "duplicate")] * 5, 0.95, True),
        ([("text", None)] * 90 + [("image", None), ("image", "wrong_length")], 0.5, False),
        ([("encoded_image", None), ("encoded_image", "missing_picture")], 1.0, True),
    ],
)
def test_a_vector_column_of_which_too_little_can_be_used_stops_the_run(
    tmp_path: Path, judged: list[tuple[str, str | None]], share: float, holds: bool
) -> None:
    home = DbtHome(tmp_path)
    home.execute("create schema intermediate")
    home.execute("create table intermediate.int_item_embeddings_judged (name varchar, reason varchar)")
    for name, reason in judged:
        said = "null" if reason is None else f"'{reason}'"
        home.execute(f"insert into intermediate.int_item_embeddings_judged values ('{name}', {said})")
    found = verdicts(home, "item_embeddings_accounting")["enough_vectors_are_clean"]
    assert (found.value, found.holds) == (pytest.approx(share), holds)
    assert found.rule.blocking


@pytest.mark.parametrize(
    ("unusable", "of", "warns", "stops"),
    [(0, 0, False, False), (1, 200, False, False), (3, 200, True, False), (100, 200, True, False), (3, 5, True, True)],
)
def test_pictures_that_cannot_be_read_warn_and_most_of_them_stop_the_run(
    tmp_path: Path, unusable: int, of: int, warns: bool, stops: bool
) -> None:
    home = DbtHome(tmp_path)
    rows = [{"item_id": f"i{n}", "reason": "missing_picture" if n < unusable else None} for n in range(of)]
    home.land(CLEAN, item_image_embeddings=rows)
    suites = (f"raw_item_image_embeddings{end}" for end in ("", "_accounting", "_columns"))
    found = verdicts(home, *suites)
    assert found["columns_are_as_agreed"].holds
    assert found["pictures_can_be_read"].holds == (not warns)
    assert found["most_pictures_can_be_read"].holds == (not stops)
    assert [name for name, verdict in found.items() if not verdict.rule.blocking] == ["pictures_can_be_read"]
