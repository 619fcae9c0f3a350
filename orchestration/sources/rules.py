"""The small parts of a mapping: references to columns, and conditions on them."""

from typing import Annotated, Literal, Self

import duckdb
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from ml.contract.events import EventType

Normalisation = Literal["trim", "upper", "lower", "absolute"]
TEXT_STEPS, NUMBER_STEPS = {"trim", "upper", "lower"}, {"absolute"}


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def accepted(text: str, sql: str, expected: str) -> str:
    """The text, which the engine that will use it understands."""
    with duckdb.connect() as connection:
        try:
            connection.execute(sql, [text]).fetchall()
        except duckdb.Error as error:
            raise ValueError(expected) from error
    return text


class ColumnRef(Part):
    """A column of the file, or a part of one. `Category` is short for `{column: Category}`."""

    column: str = Field(min_length=1, description="Name in the file.")
    split: str | None = Field(default=None, min_length=1, description="Cut the text at this separator ...")
    part: int = Field(default=1, ge=1, description="... and take this part, from 1.")


Ref = Annotated[ColumnRef, BeforeValidator(lambda value: {"column": value} if isinstance(value, str) else value)]


VectorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class VectorColumn(Part):
    """A column whose cells are vectors, all of one length."""

    column: str = Field(min_length=1, description="Name in the file.")
    length: int = Field(ge=2, le=8_192, description="Numbers in each vector.")


class Rule(Part):
    """A condition on one column of the file, as it is written there. Exactly one test besides `column`."""

    column: str = Field(min_length=1, description="Name in the file.")
    is_null: bool | None = Field(default=None, description="Empty (true) or filled (false).")
    equals: str | None = Field(default=None, description="Is exactly this text.")
    matches: str | None = Field(default=None, description="Holds this regular expression; ^ and $ anchor it.")
    does_not_match: str | None = Field(default=None, description="Is filled and does not hold this regular expression.")
    below: float | None = Field(default=None, description="Is a number less than this.")
    above: float | None = Field(default=None, description="Is a number more than this.")

    @field_validator("matches", "does_not_match")
    @classmethod
    def _is_an_expression(cls, pattern: str) -> str:
        return accepted(pattern, "select regexp_matches('', ?)", "expected a regular expression (RE2: no look-around)")

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        tests = {"is_null", "equals", "matches", "does_not_match", "below", "above"}
        if len(given := sorted(tests & self.model_fields_set)) != 1:
            raise ValueError(f"a rule needs exactly one of {', '.join(sorted(tests))}, received {given or 'none'}")
        return self


Rules = Annotated[
    tuple[Rule, ...],
    BeforeValidator(lambda value: value if isinstance(value, (list, tuple)) else (value,)),
    Field(min_length=1),
]
"""One rule, or a list of rules that must all hold."""


class EventRule(Part):
    """Rows that are another event than the rest."""

    event_type: EventType = Field(description="What such a row is.")
    when: Rules = Field(description="One condition, or several that must all hold.")


class EventTypeColumn(Part):
    """The event type stands in a column."""

    column: str = Field(min_length=1, description="Name in the file.")
    values: dict[str, EventType] = Field(
        default={}, description="The file's word: ours. Words that are not named stay as they are."
    )


EventTypeSource = Annotated[
    Annotated[EventType, Tag("all rows")] | Annotated[EventTypeColumn, Tag("by column")],
    Discriminator(lambda value: "by column" if isinstance(value, (dict, EventTypeColumn)) else "all rows"),
]
