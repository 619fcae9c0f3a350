"""A mapping file: which files hold the shop's tables, and what their columns mean. Short on purpose; no SQL in it.

    interactions:
      path: sales.csv.gz
      columns: {user_id: CustomerID, item_id: StockCode, occurred_at: InvoiceDate}
      event_type: purchase

The keys of `columns` are ours, the values are the file's. Only `interactions` is required.
"""

from collections.abc import Iterator
from collections.abc import Mapping as Columns
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import yaml
from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from ml.contract.columns import ENCODED_IMAGE, ENCODED_TEXT, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from ml.contract.errors import MappingError
from orchestration.sources.rules import (
    NUMBER_STEPS,
    TEXT_STEPS,
    ColumnRef,
    EventRule,
    EventTypeSource,
    Normalisation,
    Part,
    Ref,
    Rule,
    Rules,
    VectorColumn,
    VectorName,
    accepted,
)

InteractionColumn = Literal[
    "user_id", "item_id", "event_type", "occurred_at", "event_id", "quantity", "price", "order_id", "session_id",
    "request_id", "received_at",
]  # fmt: skip
ImpressionColumn = Literal[
    "request_id", "user_id", "item_id", "position", "shown_at", "surface", "bundle_version", "propensity", "source"
]
ItemColumn = Literal[
    "item_id", "title", "category", "sub_category", "brand", "seller_id", "description", "image_url", "image_path",
    "price", "created_at", "is_active", "stock", "region",
]  # fmt: skip
UserColumn = Literal["user_id", "country", "segment", "signed_up_at"]
DerivedItemColumn = Literal[
    "title", "category", "sub_category", "brand", "seller_id", "description", "image_url", "image_path", "price"
]
DerivedUserColumn = Literal["country", "segment"]


def _require_columns(columns: Columns[Any, ColumnRef], *required: str) -> None:
    if missing := set(required) - set(columns):
        raise ValueError(f"`columns` lacks {', '.join(sorted(missing))}")


def _require_steps_fit(
    columns: Columns[Any, ColumnRef], steps: Columns[Any, tuple[Normalisation, ...]], schema: pa.Schema
) -> None:
    for name, asked in steps.items():
        if name not in columns:
            raise ValueError(f"`normalise` names {name}, which `columns` does not map")
        fitting = TEXT_STEPS if pa.types.is_string(schema.field(name).type) else NUMBER_STEPS
        if strange := [step for step in asked if step not in fitting]:
            raise ValueError(f"`normalise` of {name} takes {', '.join(sorted(fitting))}, received {', '.join(strange)}")


_PROJECT, _NAME = r"[a-z][a-z0-9.:-]+", r"[\w-]+"


class SourceTable(Part):
    """Where one table is, and how it is written."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="A file: CSV (also .gz) or Parquet. Relative to the mapping file, else to AISLE_DATA_DIR.",
    )
    table: str | None = Field(
        default=None,
        pattern=rf"^({_PROJECT}\.)?{_NAME}\.{_NAME}$",
        description="A BigQuery table or view, [project.]dataset.table; the project is AISLE_GCP_PROJECT when left out.",
    )
    separator: str = Field(default=",", min_length=1, max_length=1, description="Between the columns of a CSV.")
    encoding: Literal["utf-8", "latin-1", "utf-16"] = Field(default="utf-8", description="Of a CSV.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal sign of numbers in a CSV.")
    timestamp_format: str | None = Field(
        default=None,
        description="strptime format of instants written as text, or unix_seconds, or unix_milliseconds. Null: ISO 8601.",
    )
    timezone: str = Field(default="UTC", description="IANA zone of instants that do not say theirs.")

    @model_validator(mode="after")
    def _in_one_place(self) -> Self:
        if (self.path is None) == (self.table is None):
            raise ValueError("name exactly one of `path`, a file, and `table`, a BigQuery table")
        if self.table and (strange := sorted({"separator", "encoding"} & self.model_fields_set)):
            raise ValueError(f"{' and '.join(strange)} belong to a file, and `table` names none")
        return self

    @field_validator("timestamp_format")
    @classmethod
    def _is_a_form(cls, form: str) -> str:
        return accepted(form, "select try_strptime('', ?)", "expected a strptime format such as %Y-%m-%d %H:%M:%S")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("expected an IANA time zone such as Europe/London") from error
        return name


def _require_table(landed_on: str | None, mapped: SourceTable) -> None:
    if landed_on is not None and mapped.table is None:
        raise ValueError("`landed_on` belongs to a BigQuery table: rows of a file arrived when received_at says")


class InteractionsTable(SourceTable):
    """What people did: one row per event."""

    columns: dict[InteractionColumn, Ref] = Field(
        description="Ours: the file's. user_id, item_id and occurred_at are required."
    )
    event_type: EventTypeSource | None = Field(
        default=None,
        description="One type for all rows, or the column that tells it. Null: `columns` names event_type.",
    )
    event_rules: tuple[EventRule, ...] = Field(default=(), description="Exceptions; the first that holds decides.")
    out_of_scope: dict[str, Rules] = Field(
        default={},
        description="Rows that are no business of a recommender, by the reason's name; the first that holds decides. "
        "Such rows are landed and counted, never dropped.",
    )
    normalise: dict[InteractionColumn, tuple[Normalisation, ...]] = Field(
        default={}, description="Steps for texts (trim, upper, lower) and numbers (absolute), in this order."
    )
    landed_on: str | None = Field(
        default=None,
        min_length=1,
        description="Of a BigQuery table, the column with the day a row arrived: its partition column, or _PARTITIONDATE. "
        "Null: the day of received_at, else of occurred_at.",
    )
    first_day: date | None = Field(
        default=None, description="Earlier rows land on this day. Null: the file's first day."
    )
    last_day: date | None = Field(default=None, description="Later rows land on this day. Null: the file's last day.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _require_table(self.landed_on, self)
        _require_columns(self.columns, "user_id", "item_id", "occurred_at")
        _require_steps_fit(self.columns, self.normalise, RAW_INTERACTIONS)
        if ("event_type" in self.columns) == (self.event_type is not None):
            raise ValueError("the event type must be told once: by `event_type`, or by `columns.event_type`")
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} is after last_day {self.last_day}")
        return self

    @property
    def rules(self) -> Iterator[Rule]:
        """Every rule of the table."""
        for rules in (*(event_rule.when for event_rule in self.event_rules), *self.out_of_scope.values()):
            yield from rules


class ImpressionsTable(SourceTable):
    """What people were shown: one row per shown place."""

    columns: dict[ImpressionColumn, Ref]
    landed_on: str | None = Field(
        default=None,
        min_length=1,
        description="Of a BigQuery table, the column with the day a row arrived: its partition column, or _PARTITIONDATE. "
        "Null: the day of shown_at.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _require_table(self.landed_on, self)
        _require_columns(self.columns, "request_id", "item_id", "position", "shown_at")
        return self


class ItemsTable(SourceTable):
    """The catalogue: one row per item."""

    columns: dict[ItemColumn, Ref]
    vectors: dict[VectorName, VectorColumn] = Field(
        default={},
        description="Vectors the shop has of its items, of their texts or pictures say, by names of your own.",
    )
    normalise: dict[ItemColumn, tuple[Normalisation, ...]] = Field(default={}, description="As for interactions.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _require_columns(self.columns, "item_id")
        _require_steps_fit(self.columns, self.normalise, RAW_ITEMS)
        for name, maker in ((ENCODED_TEXT, "AISLE_TEXT_ENCODER"), (ENCODED_IMAGE, "AISLE_IMAGE_WEIGHTS")):
            if name in self.vectors:
                raise ValueError(f"`vectors` must not name {name}, which {maker} makes: choose another name")
        return self


class UsersTable(SourceTable):
    """The users: one row per user."""

    columns: dict[UserColumn, Ref]
    normalise: dict[UserColumn, tuple[Normalisation, ...]] = Field(default={}, description="As for interactions.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _require_columns(self.columns, "user_id")
        _require_steps_fit(self.columns, self.normalise, RAW_USERS)
        return self


class DerivedItems(Part):
    """No file of items: one item per id in scope, each text the most frequent one, the price the median."""

    derive: dict[DerivedItemColumn, Ref] = Field(default={}, description="Ours: the interactions file's.")


class DerivedUsers(Part):
    """No file of users: one user per id in scope, each text the most frequent one."""

    derive: dict[DerivedUserColumn, Ref] = Field(default={}, description="Ours: the interactions file's.")


def _table_or_derived(value: object) -> str:
    is_table = bool({"path", "table"} & set(value)) if isinstance(value, dict) else isinstance(value, SourceTable)
    return "a table" if is_table else "derived"


ItemsSource = Annotated[
    Annotated[ItemsTable, Tag("a table")] | Annotated[DerivedItems, Tag("derived")], Discriminator(_table_or_derived)
]
UsersSource = Annotated[
    Annotated[UsersTable, Tag("a table")] | Annotated[DerivedUsers, Tag("derived")], Discriminator(_table_or_derived)
]
_TAGS = {"all rows", "by column", "a table", "derived", "[key]"}


class Mapping(Part):
    """A whole mapping file."""

    interactions: InteractionsTable
    impressions: ImpressionsTable | None = Field(default=None, description="Only of shops that log what they show.")
    items: ItemsSource = Field(default=DerivedItems(), description="A file, or what to derive.")
    users: UsersSource = Field(default=DerivedUsers(), description="A file, or what to derive.")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if len({table.path is None for table in self.tables}) > 1:
            raise ValueError("name files (`path`) or BigQuery tables (`table`), not both in one mapping")
        return self

    @property
    def tables(self) -> list[SourceTable]:
        """Every table that is named."""
        parts = (self.interactions, self.impressions, self.items, self.users)
        return [part for part in parts if isinstance(part, SourceTable)]

    @property
    def is_of_files(self) -> bool:
        return self.interactions.path is not None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The mapping in a YAML file.

        Raises:
            MappingError: no such file, no YAML, or a key or value that does not belong; all faults in one message.
        """
        if not path.is_file():
            raise MappingError(
                f"The mapping must be a YAML file. Received: {path}, which is not there. Correct AISLE_MAPPING."
            )
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except yaml.YAMLError as error:
            raise MappingError(
                f"The mapping must be YAML. Received: {path}, {' '.join(str(error).split())}. Correct it."
            ) from error
        except ValidationError as error:
            raise MappingError(
                f"The mapping {path} is not valid. {_faults(error)}. Correct it; examples/ shows whole ones."
            ) from error


def _faults(error: ValidationError) -> str:
    return "; ".join(_fault(fault["loc"], fault["type"], fault["msg"], fault["input"]) for fault in error.errors())


def _fault(loc: tuple[int | str, ...], kind: str, message: str, received: object) -> str:
    where = ".".join(str(part) for part in loc if part not in _TAGS) or "the file"
    match kind:
        case "extra_forbidden":
            return f"At `{where}`: no such key"
        case "missing":
            return f"At `{where}`: required, and not there"
        case _:
            return f"At `{where}`: {message.removeprefix('Value error, ')}. Received: {str(received)[:80]!r}"
