"""The shops of the scale benchmark are shops the platform reads, and its judgement is the one it states."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import scale
from benchmarks.scale_shop import DAYS, OPENED_ON, ScaleShop
from orchestration.sources.files import FilesSource

SHOP = ScaleShop(num_interactions=12_000, num_items=1_200)


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHOP.write(tmp_path_factory.mktemp("shop"))


def test_a_shop_has_the_size_it_was_asked_for(mapping: Path) -> None:
    events = pq.read_table(mapping.with_name("interactions.parquet"))
    items = pq.read_table(mapping.with_name("items.parquet"))
    assert len(events) == pytest.approx(SHOP.num_interactions, rel=0.05)
    assert len(items) == SHOP.num_items
    known = pc.is_in(events["item_id"], value_set=items["item_id"].combine_chunks())
    assert pc.all(known).as_py()
    assert pc.count_distinct(pc.day_of_year(events["occurred_at"])).as_py() == DAYS


def test_a_few_items_sell_most_and_most_sell_little(mapping: Path) -> None:
    counts = pc.value_counts(pq.read_table(mapping.with_name("interactions.parquet"))["item_id"]).field("counts")
    ordered = sorted(counts.to_pylist(), reverse=True)
    assert sum(ordered[: len(ordered) // 10]) > 2 * sum(ordered) / 10
    assert ordered[0] > 20 * ordered[len(ordered) // 2]


def test_the_platform_reads_it_as_any_shop_of_files(mapping: Path) -> None:
    source = FilesSource.open(mapping)
    assert source.first_day() == OPENED_ON
    landed = sum(len(table) for table in source.interactions(source.first_day(), source.last_day()))
    assert landed == pq.read_metadata(mapping.with_name("interactions.parquet")).num_rows
    assert len(source.items()) == SHOP.num_items
    assert len(source.users()) == SHOP.num_users


def test_the_same_seed_is_the_same_shop_and_another_seed_another(tmp_path: Path, mapping: Path) -> None:
    first = pq.read_table(mapping.with_name("interactions.parquet"))
    again = ScaleShop(12_000, 1_200).write(tmp_path / "again").with_name("interactions.parquet")
    other = ScaleShop(12_000, 1_200, seed=8).write(tmp_path / "other").with_name("interactions.parquet")
    assert pq.read_table(again).equals(first)
    assert not pq.read_table(other).equals(first)


def costs(cpu_s: float) -> scale.Costs:
    return {"dbt": {"cpu_s": cpu_s, "wall_s": cpu_s, "peak_mb": 1024.0}}


@pytest.mark.parametrize(
    ("middle", "largest", "passes"),
    [
        (100.0, 1_000.0, True),  # exponent 1
        (100.0, 1_400.0, True),  # 1.146
        (100.0, 1_500.0, False),  # 1.176
        (0.1, 9.0, True),  # less than ten seconds is noise
    ],
)
def test_a_station_holds_when_the_last_factor_of_ten_costs_no_more_than_it_may(
    middle: float, largest: float, passes: bool
) -> None:
    measured = {100: costs(1.0), 1_000: costs(middle), 10_000: costs(largest)}
    assert scale.holds("dbt", measured) is passes


def test_the_table_shows_the_exponent_of_each_step() -> None:
    table = scale.as_table({100_000: costs(2.0), 1_000_000: costs(20.0), 10_000_000: costs(400.0)})
    [line] = [line for line in table.splitlines() if line.startswith("| `dbt`")]
    assert line == "| `dbt` | 2.0 | 20.0 | 400.0 | 1.00, 1.30 | 400 | 1.0 / 1.0 / 1.0 |"
    assert "| `land` | – | – | – | –, – | – | – / – / – |" in table.splitlines()


def test_the_slope_is_what_a_million_interactions_more_cost() -> None:
    table = scale.as_units({100_000: costs(2.0), 1_000_000: costs(20.0), 10_000_000: costs(380.0)})
    assert table.splitlines()[-1] == f"| `dbt` | 1 M and 10 M | {(380 - 20) / 9:.1f} | 0.00 |"


def test_a_replica_answers_as_many_lists_as_its_core_has_time_for() -> None:
    of_size: scale.Costs = {"open": {"list_cpu_ms": 4.0}, "serve": {"http_cpu_ms": 6.0, "peak_mb": 2048.0}}
    table = scale.as_service({1_000_000: of_size, 10_000_000: {}})
    assert table.splitlines()[2:] == [f"| 100 k | 4.0 | 6.0 | {0.6 * 1000 / 6:.0f} | 2.0 |"]


@pytest.mark.parametrize(("page", "mark"), [(scale.PAGE, "measured"), (scale.PLAN, "units"), (scale.PLAN, "service")])
def test_the_page_keeps_what_stands_around_the_table(page: Path, mark: str) -> None:
    small = f"before\n<!-- {mark} -->\nold\n<!-- end -->\nafter\n<!-- end -->\n"
    assert scale.renewed(small, "new", mark=mark) == small.replace("old", "new")
    assert "| no | table |" in scale.renewed(page.read_text(), "| no | table |", mark=mark)
    with pytest.raises(ValueError, match="must hold"):
        scale.renewed("a page without marks", "new", mark=mark)
