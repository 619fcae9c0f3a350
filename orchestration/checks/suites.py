"""What must be true of the tables, said once. Plain data: nothing here imports Great Expectations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import pyarrow as pa

from ml.contract.columns import (
    RAW_IMPRESSIONS,
    RAW_INTERACTIONS,
    RAW_ITEM_EMBEDDINGS,
    RAW_ITEM_IMAGE_EMBEDDINGS,
    RAW_ITEM_TEXT_EMBEDDINGS,
    RAW_ITEMS,
    RAW_USERS,
    VECTOR,
)
from ml.contract.events import EVENT_TYPES
from orchestration.dialect import SqlDialect, days_between

TOLERATED_SHARE = 0.01
"""Of raw rows that may break one rule before the check warns. They are rejected later either way."""
MIN_CLEAN_SHARE = 0.95
MIN_READABLE_SHARE = 0.5
"""Of the pictures that a catalogue names. Some are always missing; of most, it is the folder that is the wrong one."""
MAX_AGE_DAYS = 730
MAX_EVENTS_PER_DAY = 1000
MAX_DEVIATIONS = 3.0
EVENT_NAMES = [str(event_type) for event_type in EVENT_TYPES]


@dataclass(frozen=True)
class Rule:
    """One sentence about a table, and the expectation that tells whether it is true."""

    name: str
    expectation: str
    """Class in `great_expectations.expectations`."""
    arguments: Mapping[str, Any]
    threshold: float
    """The most, of a share of broken rows; else the least, of the observed value."""
    blocking: bool
    """Whether a breach harms what comes after it, so that the run stops. A rule that does not block warns."""


@dataclass(frozen=True)
class Suite:
    """Rules about the rows of one query."""

    name: str
    asset: tuple[str, str]
    """Key of the asset whose checks the rules are."""
    query: str
    rules: tuple[Rule, ...]


def suites_for(dialect: SqlDialect) -> tuple[Suite, ...]:
    """All suites, in the order of the data's path."""
    return (
        _columns("interactions", RAW_INTERACTIONS, dialect),
        _raw_interactions(dialect),
        _daily_volume(),
        _columns("impressions", RAW_IMPRESSIONS, dialect),
        _raw_impressions(),
        _columns("items", RAW_ITEMS, dialect),
        _raw_items(),
        _columns("item_embeddings", RAW_ITEM_EMBEDDINGS, dialect),
        _columns("item_text_embeddings", RAW_ITEM_TEXT_EMBEDDINGS, dialect),
        _columns("item_image_embeddings", RAW_ITEM_IMAGE_EMBEDDINGS, dialect),
        _raw_item_image_embeddings(),
        _readable_pictures(),
        _columns("users", RAW_USERS, dialect),
        _accounting(),
        _fct_interactions(dialect),
        _dimension("dim_items", "item_id"),
        _dim_item_embeddings(),
        _dimension("dim_users", "user_id"),
        _feat_items(),
        _feat_users(),
    )


def _columns(table: str, schema: pa.Schema, dialect: SqlDialect) -> Suite:
    agreed = ", ".join(f"'{field.name} {_type_name(field.type, dialect)}'" for field in schema)
    return Suite(
        name=f"raw_{table}_columns",
        asset=("raw", table),
        query=f"""
            select sum(case when lower(column_name) || ' ' || upper(data_type) in ({agreed}) then 1 else 0 end) as num_agreed
            from {_columns_view(dialect)}
            where table_schema = 'raw' and table_name = '{table}'
        """,
        rules=(_at_least("columns_are_as_agreed", "num_agreed", len(schema)),),
    )


def _raw_interactions(dialect: SqlDialect) -> Suite:
    """E1 on the rows in scope, dirt included: each rule tells the share of rows that break it.

    The query gives no user id away: what breaks a rule is shown as an example, and raw ids stay in the raw layer.
    """
    return Suite(
        name="raw_interactions",
        asset=("raw", "interactions"),
        query=f"""
            select
                nullif(trim(item_id), '') as item_id, event_type, occurred_at,
                case when trim(user_id) <> '' then 1 else 0 end as user_is_given,
                case
                    when occurred_at > received_at or cast(occurred_at as date) > landed_on then 1 else 0
                end as is_from_the_future,
                {days_between("cast(occurred_at as date)", "landed_on", dialect)} as age_days,
                count(*) over (partition by user_id, cast(occurred_at as date)) as events_that_day,
                count(*) over (partition by user_id, item_id, occurred_at, event_type) as times_told
            from raw.interactions
            where excluded_because is null
        """,
        rules=(_some_rows("there_are_events"), *_events_are_sound(_tolerated)),
    )


def _daily_volume() -> Suite:
    return Suite(
        name="raw_daily_volume",
        asset=("raw", "interactions"),
        query="""
            select landed_on, count(*) as num_events
            from raw.interactions
            where excluded_because is null
            group by landed_on
        """,
        rules=(
            Rule(
                "daily_volume_stays_within_three_deviations",
                "ExpectColumnValueZScoresToBeLessThan",
                {"column": "num_events", "threshold": MAX_DEVIATIONS, "double_sided": True},
                threshold=0.0,
                blocking=False,
            ),
        ),
    )


def _raw_impressions() -> Suite:
    return Suite(
        name="raw_impressions",
        asset=("raw", "impressions"),
        query="select * from raw.impressions",
        rules=(
            _tolerated("shown_items_are_given", "ExpectColumnValuesToNotBeNull", column="item_id"),
            _tolerated("times_are_given", "ExpectColumnValuesToNotBeNull", column="shown_at"),
            _tolerated(
                "propensities_are_probabilities",
                "ExpectColumnValuesToBeBetween",
                column="propensity",
                min_value=0,
                max_value=1,
            ),
        ),
    )


def _raw_items() -> Suite:
    return Suite(
        name="raw_items",
        asset=("raw", "items"),
        query="select * from raw.items",
        rules=(
            _tolerated("items_are_named", "ExpectColumnValuesToNotBeNull", column="item_id"),
            _tolerated("items_are_listed_once", "ExpectColumnValuesToBeUnique", column="item_id"),
            _tolerated("prices_are_not_negative", "ExpectColumnValuesToBeBetween", column="price", min_value=0),
        ),
    )


def _raw_item_image_embeddings() -> Suite:
    return Suite(
        name="raw_item_image_embeddings",
        asset=("raw", "item_image_embeddings"),
        query="select item_id, reason from raw.item_image_embeddings",
        rules=(_tolerated("pictures_can_be_read", "ExpectColumnValuesToBeNull", column="reason"),),
    )


def _readable_pictures() -> Suite:
    return Suite(
        name="raw_item_image_embeddings_accounting",
        asset=("raw", "item_image_embeddings"),
        query="""
            select coalesce(avg(case when reason is null then 1.0 else 0.0 end), 1.0) as readable_share
            from raw.item_image_embeddings
        """,
        rules=(_at_least("most_pictures_can_be_read", "readable_share", MIN_READABLE_SHARE),),
    )


def _accounting() -> Suite:
    """The row that stops a run: too little of what came could be used."""
    return Suite(
        name="interactions_accounting",
        asset=("marts", "fct_interactions"),
        query="""
            select 1.0 * num_accepted / nullif(num_accepted + num_dirty, 0) as clean_share
            from (select count(*) as num_accepted from marts.fct_interactions) as accepted
            cross join (
                select count(*) as num_dirty from intermediate.int_interactions_rejected where kind = 'dirty'
            ) as rejected
        """,
        rules=(_at_least("enough_rows_are_clean", "clean_share", MIN_CLEAN_SHARE),),
    )


def _fct_interactions(dialect: SqlDialect) -> Suite:
    return Suite(
        name="fct_interactions",
        asset=("marts", "fct_interactions"),
        query=f"""
            select
                item_id, event_type, occurred_at, amount,
                case when user_id is not null then 1 else 0 end as user_is_given,
                case when occurred_at > known_at then 1 else 0 end as is_from_the_future,
                {days_between("event_date", "cast(known_at as date)", dialect)} as age_days,
                count(*) over (partition by user_id, event_date) as events_that_day,
                count(*) over (partition by user_id, item_id, occurred_at, event_type) as times_told
            from marts.fct_interactions
        """,
        rules=(
            _some_rows("there_are_events"),
            *_events_are_sound(_never),
            _never("amounts_are_not_negative", "ExpectColumnValuesToBeBetween", column="amount", min_value=0),
        ),
    )


def _events_are_sound(rule: Callable[..., Rule]) -> tuple[Rule, ...]:
    """The rules of E1, tolerant on what came and strict on what was accepted."""
    return (
        rule("users_are_given", "ExpectColumnValuesToBeInSet", column="user_is_given", value_set=[1]),
        rule("items_are_given", "ExpectColumnValuesToNotBeNull", column="item_id"),
        rule("times_are_given", "ExpectColumnValuesToNotBeNull", column="occurred_at"),
        rule("event_types_are_known", "ExpectColumnValuesToBeInSet", column="event_type", value_set=EVENT_NAMES),
        rule(
            "events_are_not_from_the_future", "ExpectColumnValuesToBeInSet", column="is_from_the_future", value_set=[0]
        ),
        rule(
            "events_are_not_older_than_two_years",
            "ExpectColumnValuesToBeBetween",
            column="age_days",
            max_value=MAX_AGE_DAYS,
        ),
        rule(
            "users_do_not_act_like_bots",
            "ExpectColumnValuesToBeBetween",
            column="events_that_day",
            max_value=MAX_EVENTS_PER_DAY,
        ),
        rule("events_are_not_repeated", "ExpectColumnValuesToBeBetween", column="times_told", max_value=1),
    )


def _dimension(table: str, key: str) -> Suite:
    return Suite(
        name=table,
        asset=("marts", table),
        query=f"select {key} from marts.{table}",
        rules=(
            _some_rows("there_are_rows"),
            _never("ids_are_given", "ExpectColumnValuesToNotBeNull", column=key),
            _never("ids_are_unique", "ExpectColumnValuesToBeUnique", column=key),
        ),
    )


def _dim_item_embeddings() -> Suite:
    """A vector column of which too little could be used is mapped wrongly, its length say; without vectors nothing is wrong."""
    return Suite(
        name="item_embeddings_accounting",
        asset=("marts", "dim_item_embeddings"),
        query="""
            select coalesce(min(1.0 * num_accepted / num_given), 1.0) as clean_share
            from (
                select name, count(*) as num_given, sum(case when reason is null then 1 else 0 end) as num_accepted
                from intermediate.int_item_embeddings_judged
                where reason is null or reason in ('missing_item_id', 'wrong_length', 'not_finite')
                group by name
            ) as by_column
        """,
        rules=(_at_least("enough_vectors_are_clean", "clean_share", MIN_CLEAN_SHARE),),
    )


def _feat_items() -> Suite:
    return Suite(
        name="feat_items",
        asset=("marts", "feat_items"),
        query="select * from marts.feat_items",
        rules=(
            *_features_are_sound("item_id", rates=("trending", "conversion_30d"), age="days_since_last_purchase"),
            _never(
                "buyers_are_not_more_than_purchases",
                "ExpectColumnPairValuesAToBeGreaterThanB",
                column_A="purchases_all",
                column_B="buyers_all",
                or_equal=True,
            ),
        ),
    )


def _feat_users() -> Suite:
    return Suite(
        name="feat_users",
        asset=("marts", "feat_users"),
        query="select * from marts.feat_users",
        rules=(
            *_features_are_sound("user_id", rates=("repeat_share", "conversion_30d"), age="days_since_last_event"),
            _never(
                "orders_are_not_more_than_purchases",
                "ExpectColumnPairValuesAToBeGreaterThanB",
                column_A="purchases_all",
                column_B="orders_all",
                or_equal=True,
            ),
        ),
    )


def _features_are_sound(key: str, *, rates: tuple[str, ...], age: str) -> tuple[Rule, ...]:
    return (
        _some_rows("there_are_rows"),
        _never("one_row_a_cut", "ExpectCompoundColumnsToBeUnique", column_list=["cut_at", key]),
        _never("nothing_is_known_before_it_happened", "ExpectColumnValuesToBeBetween", column=age, min_value=0),
        *(
            _never(f"{rate}_is_a_share", "ExpectColumnValuesToBeBetween", column=rate, min_value=0, max_value=1)
            for rate in rates
        ),
        _never(
            "all_time_is_not_less_than_30_days",
            "ExpectColumnPairValuesAToBeGreaterThanB",
            column_A="purchases_all",
            column_B="purchases_30d",
            or_equal=True,
        ),
    )


def _some_rows(name: str) -> Rule:
    return Rule(name, "ExpectTableRowCountToBeBetween", {"min_value": 1}, threshold=1, blocking=True)


def _never(name: str, expectation: str, **arguments: Any) -> Rule:
    """No row may break it; one that does stops the run."""
    return Rule(name, expectation, arguments, threshold=0.0, blocking=True)


def _tolerated(name: str, expectation: str, **arguments: Any) -> Rule:
    """Some rows may break it, and more than that warns."""
    return Rule(
        name, expectation, {**arguments, "mostly": 1.0 - TOLERATED_SHARE}, threshold=TOLERATED_SHARE, blocking=False
    )


def _at_least(name: str, column: str, least: float) -> Rule:
    return Rule(name, "ExpectColumnMinToBeBetween", {"column": column, "min_value": least}, least, blocking=True)


def _columns_view(dialect: SqlDialect) -> str:
    match dialect:
        case "duckdb":
            return "information_schema.columns"
        case "bigquery":
            return "raw.INFORMATION_SCHEMA.COLUMNS"
        case unknown:
            assert_never(unknown)


_TYPE_NAMES: dict[pa.DataType, dict[SqlDialect, str]] = {
    pa.string(): {"duckdb": "VARCHAR", "bigquery": "STRING"},
    pa.float64(): {"duckdb": "DOUBLE", "bigquery": "FLOAT64"},
    pa.int64(): {"duckdb": "BIGINT", "bigquery": "INT64"},
    pa.int32(): {"duckdb": "INTEGER", "bigquery": "INT64"},
    pa.bool_(): {"duckdb": "BOOLEAN", "bigquery": "BOOL"},
    pa.date32(): {"duckdb": "DATE", "bigquery": "DATE"},
    pa.timestamp("us"): {"duckdb": "TIMESTAMP", "bigquery": "TIMESTAMP"},
    VECTOR: {"duckdb": "DOUBLE[]", "bigquery": "ARRAY<FLOAT64>"},
}


def _type_name(kind: pa.DataType, dialect: SqlDialect) -> str:
    return _TYPE_NAMES[kind][dialect]
