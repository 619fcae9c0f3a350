"""GoogleSQL into DuckDB's SQL: sqlglot does most of it, the rules below correct what it gets wrong.

A rule looks at one kind of node and returns what to put in its place, or None. Leaves are rewritten first, so that a node
that is replaced keeps the children that were.
"""

from collections.abc import Callable, Iterator

from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.errors import UnsupportedError

from tests.local_gcp.bigquery.errors import missing_here
from tests.local_gcp.bigquery.names import Names, resolve

MACROS = (
    # INT64 from FLOAT64 rounds halves away from zero; text must be a whole number.
    r"""create macro bq_int64(x) as case
        when typeof(x) in ('DOUBLE', 'FLOAT') then cast(round(try_cast(x as double)) as bigint)
        when typeof(x) = 'VARCHAR' and not regexp_full_match(cast(x as varchar), '\s*[+-]?\d+\s*')
            then error('Bad int64 value: ' || cast(x as varchar))
        else cast(x as bigint) end""",
    r"""create macro bq_safe_int64(x) as case
        when typeof(x) in ('DOUBLE', 'FLOAT') then try_cast(round(try_cast(x as double)) as bigint)
        when typeof(x) = 'VARCHAR' and not regexp_full_match(cast(x as varchar), '\s*[+-]?\d+\s*') then null
        else try_cast(x as bigint) end""",
    # 1.0 is written 1, and so is NUMERIC 1.
    r"""create macro bq_string(x) as case
        when typeof(x) = 'BLOB' then error('The local BigQuery cannot cast BYTES to STRING')
        when typeof(x) in ('DOUBLE', 'FLOAT') then
            regexp_replace(replace(replace(cast(x as varchar), 'nan', 'NaN'), 'inf', 'Infinity'), '\.0$', '')
        when typeof(x) like 'DECIMAL%' then regexp_replace(cast(x as varchar), '\.?0+$', '')
        else cast(x as varchar) end""",
    "create macro bq_div(a, b) as case when b = 0 then error('division by zero') else a / b end",
    """create macro ieee_divide(a, b) as case
        when b <> 0 then a / b when a is null or b is null then null
        when a > 0 then cast('inf' as double) when a < 0 then cast('-inf' as double) else cast('nan' as double) end""",
    "create macro range_bucket(x, bounds) as len(list_filter(bounds, lambda bound: bound <= x))",
    "create macro cosine_distance(a, b) as 1 - list_cosine_similarity(a, b)",
    "create macro euclidean_distance(a, b) as list_distance(a, b)",
)
OUR_MACROS = {"ieee_divide", "cosine_distance", "euclidean_distance"}

Rule = Callable[[exp.Expr, Names], exp.Expr | None]
RULES: list[tuple[tuple[type, ...], Rule]] = []


def rule(*kinds: type) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.append((kinds, function))
        return function

    return register


def to_duckdb(tree: exp.Expr, names: Names) -> str:
    """The DuckDB text of a parsed statement; `tree` is used up."""
    return duckdb_text(rewritten(resolve(tree, names), names))


def rewritten(tree: exp.Expr, names: Names) -> exp.Expr:
    root = exp.Paren(this=tree)  # so that the top node has a parent to be replaced in
    for node in reversed(list(tree.dfs())):
        for kinds, correct in RULES:
            if isinstance(node, kinds) and (better := correct(node, names)) is not None:
                node.replace(better)
                break
    return root.this.pop()


def duckdb_text(tree: exp.Expr) -> str:
    try:
        return tree.sql(dialect="duckdb", identify=True, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise missing_here(str(error)) from error


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _cast(node: exp.Expr, kind: str) -> exp.Expr:
    return exp.cast(node, kind, dialect="duckdb")


# -- names and literals ------------------------------------------------------------------------------------------------


@rule(exp.Parameter)
def a_parameter_is_its_value(node: exp.Expr, names: Names) -> exp.Expr:
    if node.name.lower() not in names.parameters:
        raise missing_here(f"system variables, as in @{node.name}, nor is a parameter of that name given")
    return names.parameters[node.name.lower()].copy()


@rule(exp.Column)
def a_variable_is_its_value(node: exp.Expr, names: Names) -> exp.Expr | None:
    name = node.name.lower()
    if node.args.get("table") or name not in names.variables:
        return None
    return _cast(_call("getvariable", exp.Literal.string(name)), names.variables[name])


@rule(exp.Literal)
def a_number_with_a_point_is_a_float(node: exp.Expr, _: Names) -> exp.Expr | None:
    """DuckDB reads 1.5 as a decimal."""
    if node.is_string or "." not in node.name or "e" in node.name.lower():
        return None
    return exp.Literal.number(f"{node.name}e0")


@rule(exp.DataType)
def numeric_has_nine_places(node: exp.Expr, _: Names) -> exp.Expr | None:
    if node.this == exp.DataType.Type.BIGDECIMAL:
        raise missing_here("the type BIGNUMERIC")
    if node.this == exp.DataType.Type.DECIMAL and not node.expressions:
        return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
    return None


@rule(exp.Anonymous)
def a_function_must_be_known(node: exp.Expr, names: Names) -> None:
    """What sqlglot does not know would reach DuckDB as it stands, and may mean something else there."""
    if node.name.lower() not in OUR_MACROS | names.functions:
        raise missing_here(f"the function {node.name.upper()}")


# -- casts -------------------------------------------------------------------------------------------------------------


@rule(exp.Cast)
def casts_that_differ(node: exp.Expr, _: Names) -> exp.Expr | None:
    safe = isinstance(node, exp.TryCast)
    kind = node.args["to"].this
    if kind == exp.DataType.Type.BIGINT:
        return _call("bq_safe_int64" if safe else "bq_int64", node.this.copy())
    if kind in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR):
        return _call("bq_string", node.this.copy())
    if kind in (exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY):
        return _call("encode", node.this.copy())
    return None


# -- numbers -----------------------------------------------------------------------------------------------------------


@rule(exp.Div)
def division_by_zero_is_an_error(node: exp.Expr, _: Names) -> exp.Expr:
    return _call("bq_div", node.this.copy(), node.expression.copy())


@rule(exp.SafeFunc)
def safe_gives_null(node: exp.Expr, _: Names) -> exp.Expr:
    return _call("try", node.this.copy())


# -- days and instants -------------------------------------------------------------------------------------------------


@rule(exp.TimestampDiff)
def whole_units_elapsed(node: exp.Expr, _: Names) -> exp.Expr:
    """Not boundaries crossed, which is what DuckDB's date_diff counts."""
    return _call("date_sub", exp.Literal.string(node.text("unit").lower()), node.expression.copy(), node.this.copy())


@rule(exp.DateAdd, exp.DateSub, exp.DateTrunc, exp.DateFromUnixDate)
def a_date_stays_a_date(node: exp.Expr, _: Names) -> exp.Expr:
    return _cast(node.copy(), "DATE")


@rule(exp.StrToTime)
def a_parsed_instant_is_in_its_zone(node: exp.Expr, _: Names) -> exp.Expr:
    civil = node.copy()
    for argument in ("zone", "default_year"):
        civil.set(argument, None)
    return _call("timezone", node.args.get("zone") or exp.Literal.string("UTC"), civil)


@rule(exp.UnixToTime)
def an_instant_has_a_time_zone(node: exp.Expr, _: Names) -> exp.Expr:
    return _cast(node.copy(), "TIMESTAMPTZ")


@rule(exp.UnixSeconds)
def seconds_are_rounded_down(node: exp.Expr, _: Names) -> exp.Expr:
    return _cast(_call("floor", _call("epoch", node.this.copy())), "BIGINT")


EXTRACTED = {
    "DAYOFWEEK": "date_part('dayofweek', x) + 1",  # Sunday is 1
    "WEEK": "cast(strftime(x, '%U') as bigint)",  # begins on Sunday; the days before the first one are week 0
    "ISOWEEK": "date_part('week', x)",
    "MICROSECOND": "date_part('microsecond', x) % 1000000",
    "MILLISECOND": "date_part('millisecond', x) % 1000",
    "DATE": "cast(x as date)",
    **{part: f"date_part('{part}', x)" for part in ("SECOND", "MINUTE", "HOUR", "DAY", "DAYOFYEAR", "MONTH", "QUARTER",
                                                    "YEAR", "ISOYEAR")},
}  # fmt: skip


@rule(exp.Extract)
def parts_of_an_instant(node: exp.Expr, _: Names) -> exp.Expr:
    part = node.this.sql("bigquery").upper()
    if part not in EXTRACTED or isinstance(node.expression, exp.AtTimeZone):
        raise missing_here(f"{node.sql('bigquery')}")
    tree = exp.Paren(this=parse_one(EXTRACTED[part], read="duckdb"))
    for column in list(tree.find_all(exp.Column)):
        column.replace(node.expression.copy())
    return tree


# -- text --------------------------------------------------------------------------------------------------------------


@rule(exp.Format)
def format_is_printf(node: exp.Expr, _: Names) -> exp.Expr:
    if not isinstance(node.this, exp.Literal) or "%t" in node.this.name.lower():
        raise missing_here("FORMAT with %t, %T or a computed pattern")
    return _call("printf", node.this.copy(), *[argument.copy() for argument in node.expressions])


@rule(exp.Substring)
def position_0_is_position_1(node: exp.Expr, _: Names) -> exp.Expr | None:
    start = node.args.get("start")
    if start is None or (isinstance(start, exp.Literal) and start.name != "0"):
        return None
    zero, one = exp.Literal.number(0), exp.Literal.number(1)
    better = node.copy()
    better.set("start", exp.If(this=start.copy().eq(zero), true=one, false=start.copy()))
    return better


@rule(exp.ByteLength)
def bytes_of_text(node: exp.Expr, _: Names) -> exp.Expr:
    return _call("octet_length", _call("encode", node.this.copy()))


# -- arrays ------------------------------------------------------------------------------------------------------------


@rule(exp.ArrayAgg, exp.IgnoreNulls)
def array_agg_of_the_first_few(node: exp.Expr, _: Names) -> exp.Expr | None:
    aggregate = node.this if isinstance(node, exp.IgnoreNulls) else node
    inside_ignore_nulls = aggregate is node and isinstance(node.parent, exp.IgnoreNulls)
    if not isinstance(aggregate, exp.ArrayAgg) or not isinstance(aggregate.this, exp.Limit) or inside_ignore_nulls:
        return None
    size = aggregate.this.expression.copy()
    whole = node.copy()
    inner = whole.this if isinstance(whole, exp.IgnoreNulls) else whole
    inner.set("this", inner.this.this.copy())
    return _call("array_slice", whole, exp.Literal.number(1), size)


@rule(exp.GroupConcat)
def string_agg_of_all(node: exp.Expr, _: Names) -> None:
    if isinstance(node.this, exp.Limit):
        raise missing_here("STRING_AGG with LIMIT")


@rule(exp.ApproxQuantiles)
def exact_quantiles(node: exp.Expr, _: Names) -> exp.Expr:
    parts = int(node.expression.name)
    steps = exp.Array(expressions=[exp.Literal.number(step / parts) for step in range(parts + 1)])
    return _call("quantile_disc", node.this.copy(), steps)


@rule(exp.Unnest)
def offsets_count_from_zero(node: exp.Expr, _: Names) -> exp.Expr | None:
    """DuckDB's WITH ORDINALITY counts from 1."""
    offset = node.args.get("offset")
    if not offset:
        return None
    alias = node.args.get("alias")
    value_name = alias.columns[0].name if alias and alias.columns else "_value"
    offset_name = offset.name if isinstance(offset, exp.Expr) else "offset"
    array = node.expressions[0]
    subscripts = _call("generate_subscripts", array.copy(), exp.Literal.number(1))
    rows = exp.select(
        exp.alias_(exp.func("unnest", array.copy()), value_name, quoted=True),
        exp.alias_(exp.Sub(this=subscripts, expression=exp.Literal.number(1)), offset_name, quoted=True),
    )
    return exp.Lateral(this=exp.Subquery(this=rows), alias=exp.TableAlias(this=exp.to_identifier(f"_u{id(node)}")))


# -- columns without a name --------------------------------------------------------------------------------------------


def name_columns(query: exp.Expr) -> None:
    """The n-th column without a name is f{n}_, as BigQuery calls it."""
    select = query
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if isinstance(select, exp.Select):
        select.set("expressions", list(_named(select.expressions)))


def _named(columns: list[exp.Expr]) -> Iterator[exp.Expr]:
    unnamed = 0
    for column in columns:
        if isinstance(column, exp.Alias | exp.Column | exp.Dot) or column.is_star:
            yield column
        else:
            yield exp.alias_(column, f"f{unnamed}_", quoted=True)
            unnamed += 1
