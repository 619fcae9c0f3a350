"""A mapping in BigQuery's words, as text: what the local server cannot tell, Google's analyser and these can."""

import pytest

from ml.contract.errors import MappingError
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef, Rule
from orchestration.sources.sql_bigquery import BIGQUERY, parse_format


@pytest.mark.parametrize(
    ("theirs", "bigquerys"),
    [
        ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S"),
        ("%-d.%-m.%y %I:%M %p", "%d.%m.%y %I:%M %p"),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%E*S%z"),
        ("%S.%g %%", "%E*S %%"),
    ],
)
def test_directives_are_translated(theirs: str, bigquerys: str):
    assert parse_format(theirs) == bigquerys


@pytest.mark.parametrize(("form", "directive"), [("%Y %U", "%U"), ("%H:%f", "%f"), ("%n", "%n"), ("%Y-%G", "%G")])
def test_a_directive_bigquery_lacks_is_named(form: str, directive: str):
    with pytest.raises(MappingError, match=f"must be made of .* Received: {directive} in '{form}'"):
        parse_format(form)


@pytest.mark.parametrize("text", ["it's", "a\\", "a\nb", "\\' or true or '", "naïve"])
def test_a_text_stays_a_text(text: str):
    quoted = BIGQUERY.literal(text)
    assert quoted[0] == quoted[-1] == "'"
    inside = quoted[1:-1].replace("\\\\", "").replace("\\'", "")
    assert "'" not in inside
    assert "\n" not in inside
    assert not inside.endswith("\\")


def test_a_name_stays_a_name():
    assert BIGQUERY.name("a` from secrets; --") == "`a\\` from secrets; --`"


def test_rules_are_conditions_that_are_never_null():
    rules = (Rule(column="Code", does_not_match="^[0-9]{5}$"), Rule(column="Pieces", below=0))
    assert BIGQUERY.condition(rules, ",") == (
        "(coalesce(not regexp_contains(cast(`Code` as string), '^[0-9]{5}$'), false) and "
        "coalesce(safe_cast(replace(cast(`Pieces` as string), ',', '.') as float64) < 0.0, false))"
    )


@pytest.mark.parametrize(
    ("type_name", "options", "sql"),
    [
        ("TIMESTAMP", {"timestamp_format": "unix_seconds"}, "`t`"),
        ("DATETIME", {"timezone": "Europe/London"}, "timestamp(`t`, 'Europe/London')"),
        ("DATE", {}, "timestamp(`t`, 'UTC')"),
        (
            "INT64",
            {"timestamp_format": "unix_milliseconds"},
            "safe.timestamp_micros(safe_cast((cast(`t` as float64)) * 1000 as int64))",
        ),
        ("STRING", {}, "coalesce(safe.timestamp(`t`, 'UTC'), safe_cast(`t` as timestamp))"),
        ("STRING", {"timestamp_format": "%d.%m.%Y"}, "safe.parse_timestamp('%d.%m.%Y', `t`, 'UTC')"),
    ],
)
def test_instants_by_type_and_form(type_name: str, options: dict[str, str], sql: str):
    table = SourceTable(table="shop.sales", **options)  # type: ignore[arg-type]
    assert BIGQUERY.instant(ColumnRef(column="t"), type_name, table) == sql
