"""The tables of docs/recipes.md, made from the settings classes themselves.

.venv/bin/python -m tools.recipe_docs            # print them
.venv/bin/python -m tools.recipe_docs --write    # put them into docs/recipes.md
"""

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ml.experiments.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "recipes.md"
BEGIN = "<!-- tables: `python -m tools.recipe_docs --write` makes them; do not edit by hand -->"
END = "<!-- end of tables -->"

MEANINGS = {
    "name": "Kept with the registered version. The name of the file when left out.",
    "index.min_recall": "Least share of the exact nearest items that the index must find.",
    "ranker.num_leaves": "Leaves of a tree.",
    "ranker.learning_rate": "Share of each new tree's answer that is added.",
    "ranker.max_trees": "Most trees; `patience` usually stops earlier.",
    "ranker.min_rows_in_leaf": "Least examples in a leaf.",
    "ranker.feature_fraction": "Share of the features a tree may look at, drawn anew for each.",
    "ranker.l2": "Ridge on the values of the leaves.",
    "ranker.seed": "Of drawn users, drawn negatives and trees.",
}
"""Of fields whose class says nothing about them."""

KINDS: dict[Any, str] = {bool: "true, false", str: "text", tuple: "list"}
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


@dataclass(frozen=True)
class Section:
    """One settings class, at one place of a recipe."""

    place: str
    """Dotted path of its YAML keys; empty for the recipe itself."""
    model: type[BaseModel]

    @property
    def file(self) -> str:
        return Path(inspect.getfile(self.model)).relative_to(ROOT).as_posix()

    def fields(self) -> Iterator[tuple[str, FieldInfo]]:
        """Fields that are values, not sections of their own."""
        return ((name, field) for name, field in self.model.model_fields.items() if not is_section(field))


def main(arguments: Sequence[str]) -> int:
    if arguments == ["--write"]:
        PAGE.write_text(renewed(PAGE.read_text()))
        return 0
    sys.stdout.write(tables() + "\n")
    return 0 if not arguments else 2


def renewed(page: str) -> str:
    """A page with today's tables between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def tables() -> str:
    return "\n\n".join(table(section) for section in sections(Recipe) if list(section.fields()))


def sections(model: type[BaseModel], place: str = "") -> Iterator[Section]:
    """The class and every settings class inside it, in the order a recipe lists them."""
    yield Section(place, model)
    for name, field in model.model_fields.items():
        if is_section(field):
            yield from sections(field.annotation, f"{place}.{name}".strip("."))  # type: ignore[arg-type]


def is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def table(section: Section) -> str:
    heading = f"### `{section.place}`" if section.place else "### The recipe itself"
    where = f"[`{section.model.__name__}`](../{section.file})"
    lines = [heading, "", where, "", "| field | default | range | meaning |", "|---|---|---|---|"]
    return "\n".join(lines + [row(section, name, field) for name, field in section.fields()])


def row(section: Section, name: str, field: FieldInfo) -> str:
    default = json.dumps(field.get_default(call_default_factory=True))
    return f"| `{name}` | `{default}` | {allowed(field)} | {meaning(section, name, field)} |"


def allowed(field: FieldInfo) -> str:
    """The values a field takes, in as few characters as a table has room for."""
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = ((name, getattr(part, name, None)) for part in field.metadata for name in BOUNDS)
    said = ", ".join(BOUNDS[name].format(value) for name, value in bounds if value is not None)
    if type(None) in get_args(field.annotation):
        return f"{said} or null".strip()
    return said or KINDS.get(get_origin(field.annotation) or field.annotation, "")


def meaning(section: Section, name: str, field: FieldInfo) -> str:
    said = field.description or MEANINGS.get(f"{section.place}.{name}".strip("."), "")
    return said.replace("|", "\\|")


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
