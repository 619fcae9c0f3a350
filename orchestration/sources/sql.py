"""What a mapping says, as SQL. Names and values are quoted by the dialect and nowhere else; no text of a mapping is ever run."""

from abc import ABC, abstractmethod
from typing import ClassVar

import pyarrow as pa

from orchestration.sources.mapping import InteractionsTable, SourceTable
from orchestration.sources.rules import ColumnRef, EventTypeColumn, Normalisation, Rule

UNIX = {"unix_seconds": 1, "unix_milliseconds": 1_000}
"""Timestamp formats that count from 1970, and how many of their units make a second."""
_STEPS: dict[Normalisation, str] = {
    "trim": "trim({0})",
    "upper": "upper({0})",
    "lower": "lower({0})",
    "absolute": "abs({0})",
}


class MappingSql(ABC):
    """The expressions of a mapping, in the words of one engine. Types of columns are the engine's own names."""

    types: ClassVar[dict[pa.DataType, str]]
    """The engine's name of each type of the contract."""

    @abstractmethod
    def name(self, column: str) -> str:
        """A column's name, quoted."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """A text, quoted."""

    @abstractmethod
    def cell(self, column: str, type_name: str) -> str:
        """The cell as text; null stays null."""

    @abstractmethod
    def part(self, text: str, separator: str, place: int) -> str:
        """One part of a text, from 1; null or empty where there is none."""

    @abstractmethod
    def matches(self, text: str, pattern: str) -> str:
        """Whether the text holds the regular expression (RE2 on both engines)."""

    @abstractmethod
    def readable(self, text: str, kind: pa.DataType) -> str:
        """The text as another type; null where it cannot be read as one."""

    @abstractmethod
    def finite(self, number: str) -> str:
        """Whether a number is neither infinite nor undefined."""

    @abstractmethod
    def instant(self, ref: ColumnRef, type_name: str, table: SourceTable) -> str:
        """The cell as an instant in UTC; null where it is none. Cells without a zone are in the table's."""

    @abstractmethod
    def median(self, rows: str, key: str, value: str) -> tuple[str, str]:
        """A relation like `rows`, and the median of `value` as an aggregate of it grouped by `key`."""

    @abstractmethod
    def vector(self, column: str, type_name: str) -> str:
        """The cell as a list of numbers; null where it is none."""

    @abstractmethod
    def length(self, vector: str) -> str:
        """How many numbers a list holds; null where there is no list."""

    def text(self, ref: ColumnRef, type_name: str) -> str:
        """What a reference points to, as text."""
        cell = self.cell(ref.column, type_name)
        return cell if ref.split is None else f"nullif({self.part(cell, ref.split, ref.part)}, '')"

    def number(self, ref: ColumnRef, type_name: str, decimal: str) -> str:
        """The cell as a finite number; null where it is none."""
        number = self.readable(self._with_point(self.text(ref, type_name), decimal), pa.float64())
        return f"case when {self.finite(number)} then {number} end"

    def typed(self, ref: ColumnRef, kind: pa.DataType, type_name: str, table: SourceTable) -> str:
        """The cell as the contract wants it; null where it cannot be read."""
        if pa.types.is_timestamp(kind):
            return self.instant(ref, type_name, table)
        if pa.types.is_list(kind):
            return self.vector(ref.column, type_name)
        if pa.types.is_floating(kind):
            return self.number(ref, type_name, table.decimal)
        if pa.types.is_integer(kind):
            return self.readable(self.number(ref, type_name, table.decimal), pa.int64())
        if pa.types.is_boolean(kind):
            return self.readable(self.text(ref, type_name), pa.bool_())
        return self.text(ref, type_name)

    def cast(self, expression: str, kind: pa.DataType) -> str:
        return f"cast({expression} as {self.types[kind]})"

    def condition(self, rules: tuple[Rule, ...], decimal: str) -> str:
        """Whether all rules hold; a cell that cannot be compared holds none."""
        return "(" + " and ".join(f"coalesce({self._test(rule, decimal)}, false)" for rule in rules) + ")"

    def event_type(self, table: InteractionsTable, otherwise: str) -> str:
        """The event type of a row: the first rule that holds, else the table's own."""
        rules = [
            f"when {self.condition(rule.when, table.decimal)} then {self.literal(rule.event_type)}"
            for rule in table.event_rules
        ]
        own = self._own_event_type(table, otherwise)
        return f"case {' '.join(rules)} else {own} end" if rules else own

    def excluded_because(self, table: InteractionsTable) -> str:
        """Name of the first out-of-scope rule that holds, else null."""
        cases = [
            f"when {self.condition(rules, table.decimal)} then {self.literal(reason)}"
            for reason, rules in table.out_of_scope.items()
        ]
        return f"case {' '.join(cases)} end" if cases else self.cast("null", pa.string())

    def _with_point(self, text: str, decimal: str) -> str:
        return text if decimal == "." else f"replace({text}, {self.literal(decimal)}, '.')"

    def _test(self, rule: Rule, decimal: str) -> str:
        column = self.name(rule.column)
        text = self.cast(column, pa.string())
        if rule.is_null is not None:
            return f"({column} is null) = {rule.is_null}"
        if rule.equals is not None:
            return f"{text} = {self.literal(rule.equals)}"
        if rule.matches is not None:
            return self.matches(text, rule.matches)
        if rule.does_not_match is not None:
            return f"not {self.matches(text, rule.does_not_match)}"
        number = self.readable(self._with_point(text, decimal), pa.float64())
        return f"{number} < {rule.below!r}" if rule.below is not None else f"{number} > {rule.above!r}"

    def _own_event_type(self, table: InteractionsTable, otherwise: str) -> str:
        if table.event_type is None:
            return otherwise
        if not isinstance(table.event_type, EventTypeColumn):
            return self.literal(table.event_type)
        column = self.cast(self.name(table.event_type.column), pa.string())
        cases = [
            f"when {self.literal(theirs)} then {self.literal(ours)}" for theirs, ours in table.event_type.values.items()
        ]
        return f"case {column} {' '.join(cases)} else {column} end" if cases else column


def normalised(expression: str, steps: tuple[Normalisation, ...]) -> str:
    for step in steps:
        expression = _STEPS[step].format(expression)
    return expression
