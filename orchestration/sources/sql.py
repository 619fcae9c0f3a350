"""What a mapping says, as SQL of DuckDB. Names and values are quoted here and nowhere else; no text of a mapping is ever run."""

import pyarrow as pa

from orchestration.sources.mapping import InteractionsTable
from orchestration.sources.rules import ColumnRef, EventTypeColumn, Normalisation, Rule

ROW_NUMBER = '"#row"'
"""Number of the row in its file, from 1; a name no file uses."""

_UNIX = {"unix_seconds": 1, "unix_milliseconds": 1_000}
_STEPS: dict[Normalisation, str] = {
    "trim": "trim({0})",
    "upper": "upper({0})",
    "lower": "lower({0})",
    "absolute": "abs({0})",
}


def name_of(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def text_of(ref: ColumnRef, type_name: str) -> str:
    """The cell as text; null stays null."""
    column = name_of(ref.column)
    if type_name in ("DOUBLE", "FLOAT"):
        # Ids that passed through pandas with a gap are floats: 17850.0 means 17850.
        column = f"case when {column} = trunc({column}) then cast(cast({column} as hugeint) as varchar) else cast(nullif({column}, 'nan') as varchar) end"
    elif type_name != "VARCHAR":
        column = f"cast({column} as varchar)"
    return column if ref.split is None else f"nullif(split_part({column}, {literal(ref.split)}, {ref.part}), '')"


def number_of(ref: ColumnRef, type_name: str, decimal: str) -> str:
    """The cell as a finite number; null where it is none."""
    text = text_of(ref, type_name)
    text = _with_point(text, decimal)
    return f"case when isfinite(try_cast({text} as double)) then try_cast({text} as double) end"


def _with_point(text: str, decimal: str) -> str:
    return text if decimal == "." else f"replace({text}, {literal(decimal)}, '.')"


def instant_of(ref: ColumnRef, type_name: str, timestamp_format: str | None) -> str:
    """The cell as an instant in UTC; null where it is none. The session's time zone is that of cells without one."""
    return f"timezone('UTC', {_zoned(ref, type_name, timestamp_format)})"


def _zoned(ref: ColumnRef, type_name: str, timestamp_format: str | None) -> str:
    if timestamp_format in _UNIX:
        seconds = f"{number_of(ref, type_name, '.')} / {_UNIX[timestamp_format]}"
        return f"to_timestamp({seconds})"
    if type_name.startswith("TIMESTAMP") or type_name == "DATE":
        return f"cast({name_of(ref.column)} as timestamptz)"
    text = text_of(ref, type_name)
    if timestamp_format is None:
        return f"try_cast({text} as timestamptz)"
    return f"cast(try_strptime({text}, {literal(timestamp_format)}) as timestamptz)"


def typed(ref: ColumnRef, kind: pa.DataType, type_name: str, *, timestamp_format: str | None, decimal: str) -> str:
    """The cell as the contract wants it; null where it cannot be read."""
    if pa.types.is_timestamp(kind):
        return instant_of(ref, type_name, timestamp_format)
    if pa.types.is_floating(kind):
        return number_of(ref, type_name, decimal)
    if pa.types.is_integer(kind):
        return f"try_cast({number_of(ref, type_name, decimal)} as bigint)"
    if pa.types.is_boolean(kind):
        return f"try_cast({text_of(ref, type_name)} as boolean)"
    return text_of(ref, type_name)


def normalised(expression: str, steps: tuple[Normalisation, ...]) -> str:
    for step in steps:
        expression = _STEPS[step].format(expression)
    return expression


def condition(rules: tuple[Rule, ...], decimal: str) -> str:
    """Whether all rules hold; a cell that cannot be compared holds none."""
    return "(" + " and ".join(f"coalesce({_test(rule, decimal)}, false)" for rule in rules) + ")"


def _test(rule: Rule, decimal: str) -> str:
    column = name_of(rule.column)
    text = f"cast({column} as varchar)"
    number = f"try_cast({_with_point(text, decimal)} as double)"
    if rule.is_null is not None:
        return f"({column} is null) = {rule.is_null}"
    if rule.equals is not None:
        return f"{text} = {literal(rule.equals)}"
    if rule.matches is not None:
        return f"regexp_matches({text}, {literal(rule.matches)})"
    if rule.does_not_match is not None:
        return f"not regexp_matches({text}, {literal(rule.does_not_match)})"
    if rule.below is not None:
        return f"{number} < {rule.below!r}"
    return f"{number} > {rule.above!r}"


def event_type_of(table: InteractionsTable, otherwise: str) -> str:
    """The event type of a row: the first rule that holds, else the table's own."""
    rules = [
        f"when {condition(rule.when, table.decimal)} then {literal(rule.event_type)}" for rule in table.event_rules
    ]
    own = _own_event_type(table, otherwise)
    return f"case {' '.join(rules)} else {own} end" if rules else own


def _own_event_type(table: InteractionsTable, otherwise: str) -> str:
    if table.event_type is None:
        return otherwise
    if not isinstance(table.event_type, EventTypeColumn):
        return literal(table.event_type)
    column = f"cast({name_of(table.event_type.column)} as varchar)"
    cases = [f"when {literal(theirs)} then {literal(ours)}" for theirs, ours in table.event_type.values.items()]
    return f"case {column} {' '.join(cases)} else {column} end" if cases else column


def excluded_because(table: InteractionsTable) -> str:
    """Name of the first out-of-scope rule that holds, else null."""
    cases = [
        f"when {condition(rules, table.decimal)} then {literal(reason)}" for reason, rules in table.out_of_scope.items()
    ]
    return f"case {' '.join(cases)} end" if cases else "cast(null as varchar)"
