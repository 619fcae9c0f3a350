"""A mapping that cannot be meant is refused, with the key, what was expected and what was found."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from ml.contract.errors import MappingError
from orchestration.sources.mapping import (
    ImpressionColumn,
    ImpressionsTable,
    InteractionColumn,
    InteractionsTable,
    ItemColumn,
    ItemsTable,
    Mapping,
    UserColumn,
    UsersTable,
)
from orchestration.sources.rules import EventRule, EventTypeColumn, Rule, VectorColumn
from tests.orchestration.sources.conftest import SalesFolder

RECIPES = ("multitask", "ranking", "retrieval", "search_ranker", "search_towers")
EXAMPLES = [
    path for path in sorted((Path(__file__).parents[3] / "examples").glob("*.yaml")) if path.stem not in RECIPES
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid_and_short(path: Path):
    assert Mapping.read(path).interactions.columns
    assert len(path.read_text().splitlines()) <= 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seperator": ";"}, r"At `interactions\.seperator`: no such key"),
        ({"path": None}, r"At `interactions`: name exactly one of `path`, a file, and `table`, a BigQuery table"),
        ({"table": "shop.sales"}, r"At `interactions`: name exactly one of `path`, a file, and `table`"),
        ({"path": None, "table": "sales"}, r"At `interactions\.table`: String should match.*Received: 'sales'"),
        ({"path": None, "table": "shop.sales; drop"}, r"At `interactions\.table`: String should match"),
        ({"path": None, "table": "shop.sales", "separator": ";"}, r"separator belong to a file"),
        ({"columns": {"user_id": "Customer"}}, r"`columns` lacks item_id, occurred_at"),
        ({"columns": {"userid": "Customer"}}, r"At `interactions\.columns\.userid`: Input should be 'user_id'"),
        ({"event_type": "bought"}, r"At `interactions\.event_type`: Input should be 'purchase'.*Received: 'bought'"),
        ({"event_type": None}, r"the event type must be told once"),
        ({"timezone": "Mars/Olympus"}, r"At `interactions\.timezone`: expected an IANA time zone.*'Mars/Olympus'"),
        ({"timestamp_format": "%Q"}, r"At `interactions\.timestamp_format`: expected a strptime format.*'%Q'"),
        ({"out_of_scope": {"x": {"column": "Article"}}}, r"a rule needs exactly one of .*received none"),
        ({"out_of_scope": {"x": {"column": "Article", "below": 1, "above": 2}}}, r"exactly one of .*'above', 'below'"),
        (
            {"out_of_scope": {"x": {"column": "Article", "matches": "("}}},
            r"expected a regular expression.*Received: '\('",
        ),
        ({"first_day": "2026-02-01", "last_day": "2026-01-01"}, r"first_day 2026-02-01 is after last_day 2026-01-01"),
        (
            {"normalise": {"item_id": ["absolute"]}},
            r"`normalise` of item_id takes lower, trim, upper, received absolute",
        ),
        ({"normalise": {"quantity": ["trim"]}}, r"`normalise` of quantity takes absolute, received trim"),
        ({"normalise": {"order_id": ["trim"]}}, r"`normalise` names order_id, which `columns` does not map"),
        ({"normalise": {"item_id": ["shout"]}}, r"normalise\.item_id\.0`: Input should be 'trim'.*Received: 'shout'"),
    ],
)
def test_a_fault_is_named_with_its_place(sales: SalesFolder, change: dict[str, Any], message: str):
    sales.interactions |= change
    with pytest.raises(MappingError, match=message) as raised:
        sales.source()
    assert "Correct it; examples/ shows whole ones." in str(raised.value)


def test_all_faults_are_told_at_once(sales: SalesFolder):
    sales.interactions |= {"seperator": ";"}
    sales.rest |= {"item": {}}
    with pytest.raises(MappingError, match=r"`interactions\.seperator`: no such key; At `item`: no such key"):
        sales.source()


def test_files_and_tables_do_not_mix(sales: SalesFolder):
    sales.rest = {"items": {"table": "shop.items", "columns": {"item_id": "id"}}}
    with pytest.raises(MappingError, match=r"name files \(`path`\) or BigQuery tables \(`table`\), not both"):
        sales.source()


def test_a_mapping_of_tables_is_no_mapping_of_files(sales: SalesFolder):
    del sales.interactions["path"]
    sales.interactions["table"] = "my-project.shop.sales"
    with pytest.raises(
        MappingError, match=r"AISLE_SOURCE=files reads files. Received: .*mapping.yaml, which names tables"
    ):
        sales.source()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"text": {"column": "v"}}, r"At `items\.vectors\.text\.length`: required, and not there"),
        ({"text": {"column": "v", "length": 1}}, r"At `items\.vectors\.text\.length`: .*greater than or equal to 2"),
        ({"text": {"column": "v", "length": 3, "kind": "x"}}, r"At `items\.vectors\.text\.kind`: no such key"),
        ({"encoded_text": {"column": "v", "length": 3}}, r"must not name encoded_text, which AISLE_TEXT_ENCODER makes"),
        (
            {"encoded_image": {"column": "v", "length": 3}},
            r"must not name encoded_image, which AISLE_IMAGE_WEIGHTS makes",
        ),
        ({"My Text": {"column": "v", "length": 3}}, r"At `items\.vectors\.My Text`: String should match"),
    ],
)
def test_a_vector_column_has_a_name_and_a_length(sales: SalesFolder, vectors: dict[str, Any], message: str):
    sales.rest = {"items": {"path": "items.csv", "columns": {"item_id": "id"}, "vectors": vectors}}
    with pytest.raises(MappingError, match=message):
        sales.source()


@pytest.mark.parametrize("rest", [{"items": {"path": "items.csv"}}, {"items": {"derive": {"colour": "Text"}}}])
def test_faults_of_a_part_name_the_part_only(sales: SalesFolder, rest: dict[str, Any]):
    sales.rest = rest
    with pytest.raises(MappingError, match=r"At `items\.(columns`: required|derive\.colour`: Input should be 'title')"):
        sales.source()


def test_an_absent_mapping_is_named(tmp_path: Path):
    with pytest.raises(
        MappingError, match=r"must be a YAML file\. Received: .*nope\.yaml, which is not there\. Correct AISLE_MAPPING"
    ):
        Mapping.read(tmp_path / "nope.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "must be YAML"), ("", "The mapping .* is not valid. At `the file`")]
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(MappingError, match=message):
        Mapping.read(path)


def test_every_key_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
    tables = (
        InteractionsTable,
        ImpressionsTable,
        ItemsTable,
        UsersTable,
        Rule,
        EventRule,
        EventTypeColumn,
        Mapping,
        VectorColumn,
    )
    keys = {name for table in tables for name in table.model_fields}
    columns = {
        name for kind in (InteractionColumn, ImpressionColumn, ItemColumn, UserColumn) for name in get_args(kind)
    }
    assert {name for name in keys | columns if not re.search(rf"\b{name}\b", page)} == set()
