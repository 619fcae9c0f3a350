"""The dbt project on a real Google Cloud project, for a person who has one.

    gcloud auth application-default login
    AISLE_LIVE_GCP_PROJECT=my-empty-project .venv/bin/python -m pytest tests/live_gcp -s

It needs a project without datasets named raw, staging, intermediate or marts, makes them, prints what a day of each model is
estimated to read, and deletes what it made. The tables are of a few hundred rows: BigQuery bills 10 MB a statement at least, some
cents in all. `AISLE_LIVE_GCP_PROJECT=local` runs the same code against the local server.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.dbt.bigquery import DATASETS, BigQueryHome
from tests.dbt.shop import CUTS, PROJECT, DbtHome
from tests.dbt.steps import RELATIONS, STEPS, digest
from tests.local_gcp import LocalGcp

pytestmark = [
    pytest.mark.live_gcp,
    pytest.mark.filterwarnings("ignore:This method will be deprecated in future versions:PendingDeprecationWarning"),
]
WANTED = os.environ.get("AISLE_LIVE_GCP_PROJECT", "")
DAILY = {path.stem for path in PROJECT.glob("models/*/*.sql") if "daily_table(" in path.read_text()}


@pytest.fixture(scope="module")
def reached_by(request: pytest.FixtureRequest) -> Mapping[str, str]:
    if not WANTED:
        pytest.skip("Nothing was run on Google Cloud: AISLE_LIVE_GCP_PROJECT names no project.")
    if WANTED == "local":
        local: LocalGcp = request.getfixturevalue("local_gcp")
        local.reset()
        return local.environment()
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        google.auth.default()
    except DefaultCredentialsError as error:
        pytest.skip(f"Nothing was run on Google Cloud: {error}")
    return {"AISLE_GCP_PROJECT": WANTED}


@pytest.fixture(scope="module")
def live(reached_by: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryHome]:
    """A project that holds none of our datasets before, and none after."""
    home = BigQueryHome(tmp_path_factory.mktemp("live"), reached_by=reached_by)
    with home.client() as client:
        there = {dataset.dataset_id for dataset in client.list_datasets()} & set(DATASETS)
        if there:
            pytest.fail(
                f"{client.project} must hold no dataset of Aisle's. Found: {', '.join(sorted(there))}. Name an empty project."
            )
        try:
            yield home
        finally:
            for dataset in DATASETS:
                client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)


@pytest.fixture(scope="module")
def built(live: BigQueryHome, tmp_path_factory: pytest.TempPathFactory) -> tuple[DbtHome, BigQueryHome, dict[str, str]]:
    """Both engines after the first days and one day more; and that day's SQL by model."""
    homes = DbtHome(tmp_path_factory.mktemp("duckdb")), live
    for step in (STEPS["from empty"], STEPS["a day"]):
        for home in homes:
            home.land(step.interactions, items=step.items, impressions=step.impressions, users=[{"user_id": "u1"}])
            result = home.build(**step.window, cuts=CUTS)
            assert not result.failed, "\n".join(f"{home.target}: {result.messages[node]}" for node in result.failed)
    results = json.loads(Path(live.path, "target/run_results.json").read_text())["results"]
    day = {result["unique_id"].split(".")[2]: result["compiled_code"] for result in results if result["relation_name"]}
    return *homes, day


def test_a_day_reads_its_days_by_google_s_own_estimate(
    built: tuple[DbtHome, BigQueryHome, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, live, day = built
    assert set(day) == set(RELATIONS)
    estimates = {model: live.estimated_bytes(sql) for model, sql in sorted(day.items())}
    whole = {model: live.estimated_bytes(f"select * from {RELATIONS[model]}") for model in DAILY}
    with capsys.disabled():
        for model, estimate in estimates.items():
            sys.stdout.write(f"{model:32} {estimate:>12,} bytes for a day\n")
    assert all(estimates[model] > 0 for model in DAILY)
    # Made of one table of the same partitions: of these the day must be a part.
    assert estimates["int_interactions_rejected"] < whole["int_interactions_judged"]
    assert estimates["fct_interactions"] < whole["int_interactions_judged"]
    assert estimates["int_user_item_days"] < whole["fct_interactions"]


@pytest.mark.parametrize("relation", RELATIONS)
def test_google_holds_the_rows_that_duckdb_holds(
    built: tuple[DbtHome, BigQueryHome, dict[str, str]], relation: str
) -> None:
    here, there, _ = built
    assert digest(here, relation).differences(digest(there, relation)) == []
