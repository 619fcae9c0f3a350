"""The project says what the code says."""

from typing import Any

import pyarrow as pa
import pytest
import yaml

from ml.contract import columns
from ml.contract.events import DECAY_DAYS, EVENT_WEIGHTS
from ml.features.pseudonym import DEVELOPMENT_KEY
from orchestration.checks import suites
from tests.dbt.shop import PROJECT, DbtHome

CONTRACTS = {
    "fct_interactions": columns.FCT_INTERACTIONS,
    "fct_impressions": columns.RAW_IMPRESSIONS,
    "dim_items": columns.DIM_ITEMS,
    "dim_item_embeddings": columns.DIM_ITEM_EMBEDDINGS,
    "dim_users": columns.DIM_USERS,
    "feat_items": columns.FEAT_ITEMS,
    "feat_users": columns.FEAT_USERS,
}
SQL_TYPES = {
    pa.string(): "string",
    pa.float64(): "{{ 'float64' if target.type == 'bigquery' else 'double' }}",
    pa.int32(): "{{ 'int64' if target.type == 'bigquery' else 'integer' }}",
    pa.int64(): "int64",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    columns.INSTANT: "timestamp",
    columns.VECTOR: "{{ 'array<float64>' if target.type == 'bigquery' else 'double[]' }}",
}


def models() -> dict[str, dict[str, Any]]:
    return {
        model["name"]: model
        for path in PROJECT.glob("models/*/_*__models.yml")
        for model in yaml.safe_load(path.read_text())["models"]
    }


def variables() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_contract_of_a_mart_is_the_contract_of_the_code(name: str) -> None:
    model = models()[name]
    assert model["config"]["contract"] == {"enforced": True}
    assert [(column["name"], column["data_type"]) for column in model["columns"]] == [
        (field.name, SQL_TYPES[field.type]) for field in CONTRACTS[name]
    ]


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_built_mart_has_the_columns_and_types_the_code_reads(built: DbtHome, name: str) -> None:
    assert built.table(f"select * from marts.{name} limit 0").schema.remove_metadata() == CONTRACTS[name]


def test_rejected_rows_keep_every_raw_column(built: DbtHome) -> None:
    found = built.table("select * from intermediate.int_interactions_rejected limit 0").schema
    assert set(found.names) == {*columns.RAW_INTERACTIONS.names, "reason", "kind"}


def test_events_weigh_the_same_in_sql_and_python() -> None:
    assert variables()["event_weights"] == {str(event_type): weight for event_type, weight in EVENT_WEIGHTS.items()}
    assert variables()["decay_days"] == DECAY_DAYS


def test_without_a_key_dbt_uses_the_development_key() -> None:
    assert f"env_var('AISLE_PSEUDONYM_KEY', '{DEVELOPMENT_KEY}')" in (PROJECT / "macros" / "pseudonym.sql").read_text()


def test_checks_and_models_draw_the_same_lines() -> None:
    assert variables()["max_events_per_day"] == suites.MAX_EVENTS_PER_DAY
    assert variables()["max_age_days"] == suites.MAX_AGE_DAYS


def test_the_accepted_event_types_are_the_known_ones() -> None:
    (event_type,) = (column for column in models()["fct_interactions"]["columns"] if column["name"] == "event_type")
    (accepted,) = (test["accepted_values"] for test in event_type["data_tests"] if "accepted_values" in test)
    assert set(accepted["arguments"]["values"]) == set(variables()["event_weights"])


def test_every_model_says_its_grain_and_describes_its_columns() -> None:
    files = {path.stem for path in PROJECT.glob("models/*/*.sql")}
    assert set(models()) == files
    for name, model in models().items():
        assert model["description"].strip().rpartition(". ")[2].startswith("One row per "), name
        assert all(column["description"] for column in model["columns"]), name
