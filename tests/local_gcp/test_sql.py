"""Values of expressions, as BigQuery's documentation gives them or as they follow from what it says.

Each group names its page below https://cloud.google.com/bigquery/docs/reference/standard-sql/.
"""

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from tests.local_gcp.bigquery.engine import Engine
from tests.local_gcp.bigquery.errors import BigQueryError, as_bigquery_error
from tests.local_gcp.storage import Objects


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Objects())


def rows_of(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in engine.run({"query": sql}, "project").table.to_pylist()]


def error_of(engine: Engine, sql: str) -> BigQueryError:
    try:
        rows = rows_of(engine, sql)
    except Exception as error:  # noqa: BLE001 - of any kind: what clients are told is asked for
        return as_bigquery_error(error)
    pytest.fail(f"It was accepted and gave {rows}")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


# conversion_rules, conversion_functions
CASTS = {
    "cast(2.5 as int64)": 3,
    "cast(-2.5 as int64)": -3,
    "cast(3.5 as int64)": 4,
    "cast(0.5 as int64)": 1,
    "cast('12' as int64)": 12,
    "cast(true as int64)": 1,
    "cast(1.0 as string)": "1",
    "cast(1.5 as string)": "1.5",
    "cast(100.0 as string)": "100",
    "cast(true as string)": "true",
    "cast(numeric '1.50' as string)": "1.5",
    "cast(numeric '100' as string)": "100",
    "cast(date '2026-01-02' as string)": "2026-01-02",
    "cast(timestamp '2026-01-02' as string)": "2026-01-02 00:00:00+00",
    "cast('2026-01-02' as date)": date(2026, 1, 2),
    "cast('2026-01-02 03:00:00+01' as timestamp)": utc(2026, 1, 2, 2),
    "cast(timestamp '2026-01-02 23:30:00' as date)": date(2026, 1, 2),
    "cast(timestamp '2026-01-02 23:30:00' as datetime)": datetime(2026, 1, 2, 23, 30),
    "cast(date '2026-01-02' as timestamp)": utc(2026, 1, 2),
    "cast('1.23' as numeric) + numeric '0.01'": Decimal("1.24"),
    "safe_cast('abc' as int64)": None,
    "safe_cast('2.5' as int64)": None,
    "safe_cast('12' as int64)": 12,
    "safe_cast('2026-13-01' as date)": None,
    "cast('abc' as bytes)": b"abc",
}

# mathematical_functions, operators#arithmetic_operators
NUMBERS = {
    "7 / 2": 3.5,
    "div(7, 2)": 3,
    "div(-7, 2)": -3,
    "mod(-7, 3)": -1,
    "1.5 * 2": 3.0,
    "round(2.5)": 3.0,
    "round(-2.5)": -3.0,
    "round(123.7, -1)": 120.0,
    "round(1.235, 2)": 1.24,
    "trunc(-2.7)": -2.0,
    "ceil(2.1)": 3.0,
    "floor(-2.1)": -3.0,
    "safe_divide(1, 0)": None,
    "safe_divide(1, 4)": 0.25,
    "ieee_divide(1, 0)": math.inf,
    "ieee_divide(-1, 0)": -math.inf,
    "is_nan(ieee_divide(0, 0))": True,
    "is_inf(ieee_divide(1, 0))": True,
    "greatest(1, 2, 3)": 3,
    "greatest(1, null)": None,
    "least(1, null)": None,
    "power(2, 10)": 1024.0,
    "log(8, 2)": 3.0,
    "ln(exp(1))": 1.0,
    "sign(-3)": -1,
    "abs(-2)": 2,
    "range_bucket(20, [0, 10, 20, 30, 40])": 3,
    "range_bucket(25, [0, 10, 20, 30, 40])": 3,
    "range_bucket(-10, [5, 10, 20, 30, 40])": 0,
    "range_bucket(80, [0, 10, 20, 30, 40])": 5,
}

# date_functions, datetime_functions, timestamp_functions
INSTANTS = {
    "timestamp_diff(timestamp '2026-01-02 00:00:00', timestamp '2026-01-01 23:30:00', hour)": 0,
    "timestamp_diff(timestamp '2026-01-02 01:30:00', timestamp '2026-01-02 00:00:00', hour)": 1,
    "timestamp_diff(timestamp '2018-08-14', timestamp '2018-10-14', day)": -61,
    "timestamp_diff(timestamp '2001-02-01 01:00:00', timestamp '2001-02-01 00:00:01', hour)": 0,
    "date_diff(date '2017-10-15', date '2017-10-14', week)": 1,
    "date_diff(date '2017-12-18', date '2017-12-17', week)": 0,
    "date_diff(date '2017-12-18', date '2017-12-17', week(monday))": 1,
    "date_diff(date '2017-12-18', date '2017-12-17', isoweek)": 1,
    "date_diff(date '2017-12-30', date '2014-12-30', year)": 3,
    "date_diff(date '2026-01-05', date '2026-01-01', day)": 4,
    "date_add(date '2008-12-25', interval 5 day)": date(2008, 12, 30),
    "date_sub(date '2008-12-25', interval 5 day)": date(2008, 12, 20),
    "date_add(date '2026-01-31', interval 1 month)": date(2026, 2, 28),
    "date_trunc(date '2008-12-25', month)": date(2008, 12, 1),
    "date_trunc(date '2017-11-05', week(monday))": date(2017, 10, 30),
    "date_trunc(date '2026-01-07', week)": date(2026, 1, 4),
    "date_trunc(date '2015-06-15', isoyear)": date(2014, 12, 29),
    "timestamp_trunc(timestamp '2008-12-25 15:30:00+00', day)": utc(2008, 12, 25),
    "timestamp_trunc(timestamp '2026-01-07 10:00:00', week)": utc(2026, 1, 4),
    "datetime_trunc(datetime '2008-12-25 15:30:00', hour)": datetime(2008, 12, 25, 15),
    "datetime_diff(datetime '2026-01-02 00:00:00', datetime '2026-01-01 23:00:00', day)": 1,
    "timestamp_add(timestamp '2008-12-25 15:30:00+00', interval 10 minute)": utc(2008, 12, 25, 15, 40),
    "timestamp_sub(timestamp '2026-01-01', interval 1 hour)": utc(2025, 12, 31, 23),
    "datetime_add(datetime '2026-01-01', interval 1 day)": datetime(2026, 1, 2),
    "date '2026-01-02' + 1": date(2026, 1, 3),
    "extract(dayofweek from date '2026-01-04')": 1,
    "extract(week from date '2026-01-03')": 0,
    "extract(week from date '2026-01-04')": 1,
    "extract(isoweek from date '2015-12-31')": 53,
    "extract(isoyear from date '2016-01-03')": 2015,
    "extract(day from date '2013-12-25')": 25,
    "extract(date from timestamp '2026-01-04 10:00:00')": date(2026, 1, 4),
    "extract(microsecond from timestamp '2026-01-04 10:00:01.000002')": 2,
    "extract(hour from timestamp '2026-01-04 10:00:00')": 10,
    "timestamp_seconds(1230219000)": utc(2008, 12, 25, 15, 30),
    "timestamp_millis(1230219000000)": utc(2008, 12, 25, 15, 30),
    "timestamp_micros(1230219000000000)": utc(2008, 12, 25, 15, 30),
    "unix_seconds(timestamp '2008-12-25 15:30:00+00')": 1230219000,
    "unix_seconds(timestamp '1970-01-01 00:00:01.8+00')": 1,
    "unix_millis(timestamp '2008-12-25 15:30:00+00')": 1230219000000,
    "unix_micros(timestamp '2008-12-25 15:30:00+00')": 1230219000000000,
    "unix_date(date '2008-12-25')": 14238,
    "date_from_unix_date(14238)": date(2008, 12, 25),
    "format_timestamp('%b-%d-%Y', timestamp '2050-12-25 15:30:55+00')": "Dec-25-2050",
    "format_date('%Y%m%d', date '2026-01-02')": "20260102",
    "format_date('%G-%V', date '2026-01-01')": "2026-01",
    "parse_date('%Y%m%d', '20081225')": date(2008, 12, 25),
    "parse_timestamp('%Y-%m-%d %H:%M:%S', '2026-01-02 03:04:05')": utc(2026, 1, 2, 3, 4, 5),
    "parse_timestamp('%Y-%m-%d %H:%M', '2026-01-02 03:04', 'America/New_York')": utc(2026, 1, 2, 8, 4),
    "parse_datetime('%Y-%m-%d %H:%M:%S', '1998-10-18 13:45:55')": datetime(1998, 10, 18, 13, 45, 55),
    "timestamp('2008-12-25 15:30:00', 'America/Los_Angeles')": utc(2008, 12, 25, 23, 30),
    "timestamp(date '2008-12-25')": utc(2008, 12, 25),
    "date(timestamp '2016-12-25 05:30:00+07', 'America/Los_Angeles')": date(2016, 12, 24),
    "date(2016, 12, 25)": date(2016, 12, 25),
    "datetime(timestamp '2026-01-01 03:00:00')": datetime(2026, 1, 1, 3),
    "last_day(date '2008-11-25')": date(2008, 11, 30),
    "time '10:00:00'": time(10),
    "generate_date_array('2016-10-05', '2016-10-08')": [date(2016, 10, day) for day in (5, 6, 7, 8)],
    "array_length(generate_date_array('2026-01-01', '2026-01-31', interval 1 week))": 5,
}

# string_functions, hash_functions
TEXT = {
    "concat('a', null)": None,
    "concat('T.P.', ' ', 'Bar')": "T.P. Bar",
    "'a' || 'b'": "ab",
    "regexp_replace('abab', r'a', 'x')": "xbxb",
    r"regexp_replace('# Heading', r'^# ([a-zA-Z0-9\s]+$)', '<h1>\\1</h1>')": "<h1>Heading</h1>",
    "regexp_contains('foo@example.com', r'@[a-zA-Z0-9-]+')": True,
    r"regexp_extract('item-42', r'item-(\d+)')": "42",
    r"regexp_extract('none', r'\d+')": None,
    r"regexp_extract_all('a1b2', r'\d')": ["1", "2"],
    "to_hex(md5('a'))": "0cc175b9c0f1b6a831c399e269772661",
    "to_hex(sha256('a'))": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    "split('b c', ' ')": ["b", "c"],
    "split('a|b', '|')[offset(1)]": "b",
    "substr('apple', 2)": "pple",
    "substr('apple', 2, 2)": "pp",
    "substr('apple', -2)": "le",
    "substr('apple', 0, 3)": "app",
    "strpos('foo@example.com', '@')": 4,
    "starts_with('foobar', 'foo')": True,
    "ends_with('apple', 'e')": True,
    "length('é')": 1,
    "byte_length('é')": 2,
    "lpad('abc', 5, 'x')": "xxabc",
    "trim('  a ')": "a",
    "upper('foo')": "FOO",
    "replace('abab', 'b', 'c')": "acac",
    "reverse('abc')": "cba",
    "format('%d items at %s', 3, 'home')": "3 items at home",
    "to_base64(b'abc')": "YWJj",
    "from_base64('YWJj')": b"abc",
    "safe.parse_date('%Y-%m-%d', 'soon')": None,
    "json_value('{\"a\": {\"b\": 1}}', '$.a.b')": "1",
    "json_extract_scalar('{\"a\": 2}', '$.a')": "2",
    "to_json_string(struct(1 as a))": '{"a":1}',
    "if(true, 1, 2)": 1,
    "ifnull(null, 3)": 3,
    "nullif(1, 1)": None,
}

# array_functions, subscript_operator, in_operators
ARRAYS = {
    "[1, 2, 3][safe_offset(5)]": None,
    "[1, 2, 3][offset(0)]": 1,
    "[1, 2, 3][ordinal(1)]": 1,
    "array_length([1, 2])": 2,
    "array_concat([1, 2], [3, 4])": [1, 2, 3, 4],
    "array_to_string(['a', 'b'], '-')": "a-b",
    "array_reverse([1, 2, 3])": [3, 2, 1],
    "generate_array(1, 5)": [1, 2, 3, 4, 5],
    "2 in unnest([1, 2, 3])": True,
    "array(select x * 2 from unnest([1, 2]) as x order by x)": [2, 4],
    "struct(1 as a, 'z' as b)": {"a": 1, "b": "z"},
    "struct(1 as a, 'z' as b).b": "z",
    "[struct(1 as a)]": [{"a": 1}],
    "cosine_distance([1.0, 0.0], [0.0, 1.0])": 1.0,
    "euclidean_distance([0.0, 0.0], [3.0, 4.0])": 5.0,
}

SCALARS = CASTS | NUMBERS | INSTANTS | TEXT | ARRAYS


@pytest.mark.parametrize("expression", SCALARS)
def test_an_expression_has_its_documented_value(engine: Engine, expression: str) -> None:
    ((value,),) = rows_of(engine, f"select {expression}")
    expected = SCALARS[expression]
    assert value == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert type(value) is type(expected)


ROWS = """with t as (
    select 1 as a, 'x' as g, 5 as v union all select 2, 'x', 3 union all select 3, 'y', null union all select 4, 'y', 9
) """

# aggregate_functions, query-syntax, window-function-calls, arrays
QUERIES: dict[str, list[tuple[Any, ...]]] = {
    "select a from t order by v, a": [(3,), (2,), (1,), (4,)],
    "select a from t order by v desc": [(4,), (1,), (2,), (3,)],
    "select a from t order by v asc nulls last": [(2,), (1,), (4,), (3,)],
    "select row_number() over (order by v) from t order by a": [(3,), (2,), (1,), (4,)],
    "select a from t where true qualify row_number() over (partition by g order by v desc) = 1 order by a": [(1,), (4,)],
    "select array_agg(v ignore nulls order by a) from t": [([5, 3, 9],)],
    "select array_agg(a order by a desc limit 2) from t": [([4, 3],)],
    "select array_length(array_agg(distinct g ignore nulls)) from t": [(2,)],
    "select array_agg(struct(a, v) order by a) from t where g = 'x'": [([{"a": 1, "v": 5}, {"a": 2, "v": 3}],)],
    "select string_agg(g, '-' order by a) from t": [("x-x-y-y",)],
    "select countif(v > 3), logical_or(v > 3), logical_and(v > 3) from t": [(2, True, False)],
    "select any_value(g having max a) from t": [("y",)],
    "select sum(a), avg(a), min(v), max(v), count(v), count(*) from t": [(10, 2.5, 3, 9, 3, 4)],
    "select approx_count_distinct(g) from t": [(2,)],
    "select approx_quantiles(x, 4) from unnest(generate_array(0, 100)) as x": [([0, 25, 50, 75, 100],)],
    "select approx_quantiles(x, 100)[offset(50)] from unnest(generate_array(0, 100)) as x": [(50,)],
    "select sum(a) over (order by a rows between 1 preceding and current row) from t order by a": [(1,), (3,), (5,), (7,)],
    "select last_value(v ignore nulls) over (order by a) from t order by a": [(5,), (3,), (3,), (9,)],
    "select distinct percentile_cont(a, 0.5) over () from t": [(2.5,)],
    "select x, o from unnest(['a', 'b']) as x with offset as o order by o": [("a", 0), ("b", 1)],
    "select x, offset from unnest(['a', 'b']) as x with offset order by offset": [("a", 0), ("b", 1)],
    "select g, x, o from (select 'k' as g, [7, 8] as l) as s, unnest(s.l) as x with offset as o order by o": [
        ("k", 7, 0), ("k", 8, 1)],
    "select sum(p * q) from unnest([1.0, 2.0]) as p with offset as i join unnest([3.0, 4.0]) as q with offset as j on i = j": [
        (11.0,)],
    "select * except (g) replace (v + 1 as v) from t where a = 1": [(1, 6)],
    "select g, sum(a) as s from t group by rollup (g) order by g": [(None, 10), ("x", 3), ("y", 7)],
    "select * from (select g, a from t) pivot (sum(a) for g in ('x', 'y'))": [(3, 7)],
    "select a from t where g = 'x' intersect distinct select a from t where v = 5": [(1,)],
    "select a from t where g = 'x' except distinct select a from t where v = 5": [(2,)],
    "select g, count(*) as n from t group by 1 having n > 1 order by 1": [("x", 2), ("y", 2)],
    "select case g when 'x' then 1 else 0 end as k, sum(a) from t group by k order by k": [(0, 7), (1, 3)],
    "select a, lag(a) over (order by a) from t order by a limit 2": [(1, None), (2, 1)],
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_its_documented_rows(engine: Engine, query: str) -> None:
    assert rows_of(engine, ROWS + query) == QUERIES[query]


REFUSED = {
    "select 1 / 0": "division by zero",
    "select 1.0 / 0.0": "division by zero",
    "select mod(1, 0)": "(?i)division by zero",
    "select div(1, 0)": "(?i)division by zero",
    "select cast('abc' as int64)": "Bad int64 value: abc",
    "select cast('2.5' as int64)": "Bad int64 value: 2.5",
    "select 1 as a, 2 as a": "Duplicate column names",
    "selec 1": "Syntax error",
    "select nothing from unnest([1]) as x": "nothing",
    "select 9223372036854775807 + 1": "(?i)overflow",
    "select x from unnest([1]) as x group by 1 having count(*) > y": "y",
    "select g, a, count(*) from (select 1 as g, 2 as a) group by g": "GROUP BY",
    "select * from somewhere": "must be qualified with a dataset",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_bigquery_refuses_is_an_invalid_query(engine: Engine, query: str) -> None:
    known = error_of(engine, query)
    assert (known.code, known.reason) == (400, "invalidQuery")
    assert re.search(REFUSED[query], str(known))


NOT_HERE = {
    "select farm_fingerprint('a')": "(?i)farm_fingerprint",
    "select epoch_us(current_timestamp())": "EPOCH_US",  # DuckDB's own, and unknown to BigQuery
    "select list_sum([1])": "LIST_SUM",
    "select net.host('a')": "(?i)host",
    "select * from `d.events_*`": "wildcard",
    "select string_agg(x, ',' limit 1) from unnest(['a']) as x": "STRING_AGG with LIMIT",
    "select format('%t', 1)": "FORMAT",
    "select cast(1 as bignumeric)": "BIGNUMERIC",
    "select @@project_id": "system variables",
    "call d.procedure()": "CALL",
    "execute immediate 'select 1'": "EXECUTE",
    "begin select 1; end": "statement",
    "create materialized view d.m as select 1 as a": "VIEW",
    "create function d.f(x int64) as (x)": "functions",
    "select * from d.INFORMATION_SCHEMA.JOBS": "INFORMATION_SCHEMA.JOBS",
    "select * from d.t for system_time as of current_timestamp()": "SYSTEM_TIME",
}


@pytest.mark.parametrize("query", NOT_HERE)
@pytest.mark.filterwarnings("ignore")
def test_what_is_missing_here_says_so_with_501(engine: Engine, query: str) -> None:
    known = error_of(engine, query)
    assert (known.code, known.reason) == (501, "notImplemented")
    assert re.search(NOT_HERE[query], str(known))
