"""The settings of a process become the right source."""

from datetime import date

import pytest

from ml.contract.errors import ContractError
from orchestration.settings import PlatformSettings, Source
from orchestration.sources import days_of
from orchestration.sources.demo import DemoSource
from orchestration.sources.files import FilesSource
from orchestration.sources.resource import SourceResource
from tests.orchestration.sources.conftest import SalesFolder

DAY = date(2026, 1, 3)


def test_demo_is_a_shop_until_the_day_asked_for():
    resource = SourceResource(
        name="demo", shop_size="tiny", shop_seed=3, opened_on="2026-01-01", drift_from="2026-01-02"
    )
    source = resource.open(until=DAY)
    assert isinstance(source, DemoSource)
    assert (source.first_day(), source.last_day()) == (date(2026, 1, 1), DAY)
    assert source.settings.drift_from == date(2026, 1, 2)
    assert source.describe() == "demo shop, size tiny, seed 3"


def test_files_are_what_the_mapping_says_until_the_day_asked_for(sales: SalesFolder):
    sales.source()
    source = SourceResource(name="files", mapping=str(sales.path / "mapping.yaml")).open(until=DAY)
    assert isinstance(source, FilesSource)
    assert (source.first_day(), source.last_day()) == (date(2026, 1, 1), DAY)
    assert source.describe() == "files, sales.csv"


@pytest.mark.parametrize(("name", "missing"), [("demo", "opened_on"), ("files", "mapping")])
def test_a_source_that_lacks_something_says_so(name: str, missing: str):
    with pytest.raises(ContractError, match=f"`{missing}` must be set for this source. Received: none"):
        SourceResource(name=name).open(until=DAY)


def test_days_of_files_are_those_of_their_rows(sales: SalesFolder):
    sales.source()
    settings = PlatformSettings(source=Source.FILES, mapping=sales.path / "mapping.yaml", home=sales.path / "home")
    assert days_of(settings) == (date(2026, 1, 1), date(2026, 1, 4))


def test_days_the_mapping_names_are_known_without_the_file(sales: SalesFolder):
    sales.interactions |= {"first_day": date(2026, 1, 1), "last_day": date(2026, 1, 31)}
    source = sales.source()
    (sales.path / "sales.csv").unlink()
    assert (source.first_day(), source.last_day()) == (date(2026, 1, 1), date(2026, 1, 31))
