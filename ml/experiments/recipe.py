"""A recipe: every choice of method in one file, so that two runs differ by what one can read."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.candidates.settings import SourceSettings
from ml.contract.errors import RecipeError
from ml.dataset.split import SplitSettings
from ml.evaluation.parity import ParitySettings
from ml.index.planner import IndexSettings
from ml.ranking.settings import RankerSettings
from ml.release.gate import GateSettings
from ml.retrieval.settings import RetrieverSettings
from ml.runtime.settings import RequestSettings


class Recipe(BaseModel):
    """What is left out has the default of its settings class; an empty recipe is the default recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    split: SplitSettings = Field(default_factory=SplitSettings)
    retriever: RetrieverSettings = Field(default_factory=RetrieverSettings)
    sources: SourceSettings = Field(default_factory=SourceSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    ranker: RankerSettings = Field(default_factory=RankerSettings)
    request: RequestSettings = Field(default_factory=RequestSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    parity: ParitySettings = Field(default_factory=ParitySettings)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """The recipe in a YAML file, or the default one.

        Raises:
            RecipeError: the file is absent, is not a mapping, or has a field no recipe has.
        """
        if path is None:
            return cls()
        if not path.is_file():
            raise RecipeError(
                f"Expected a recipe file. Received: {path}, which does not exist. Unset AISLE_RECIPE for the default."
            )
        said = yaml.safe_load(path.read_text()) or {}
        if not isinstance(said, dict):
            raise RecipeError(f"A recipe must be a YAML mapping. Received: {type(said).__name__} in {path}.")
        return cls._of({"name": path.stem, **said}, called=f"Recipe {path}")

    @property
    def values(self) -> dict[str, Any]:
        """Every value as a file would say it, by its dotted name."""
        return dict(_flat(self.model_dump(mode="json")))

    def having(self, values: Mapping[str, Any]) -> Self:
        """This recipe with other values under dotted names, `retriever.epochs` say.

        Raises:
            RecipeError: no recipe has such a field, or the values do not fit together.
        """
        return self._of(_nested(self.model_dump(mode="json"), values), called=f"The recipe with {dict(values)}")

    def write(self, path: Path, *, always: Iterable[str] = ()) -> None:
        """As a file that `read` takes: what differs from the defaults, and the fields named in `always` whether or not they do."""
        default, pinned = type(self)().values, {"name", *always}
        kept = {name: value for name, value in self.values.items() if name in pinned or value != default[name]}
        kept.pop("name")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(_nested({}, kept), sort_keys=False))

    @classmethod
    def _of(cls, said: Mapping[str, Any], *, called: str) -> Self:
        try:
            return cls.model_validate(said)
        except ValidationError as error:
            raise RecipeError(f"{called} does not fit: {problems(error)}. docs/recipes.md lists the fields.") from error


def problems(error: ValidationError) -> str:
    """What is wrong, field by field, in one line."""
    return "; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']} (received {e['input']!r})" for e in error.errors())


def _flat(said: Mapping[str, Any], *, under: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from _flat(value, under=f"{under}{name}.")
        else:
            yield under + name, value


def _nested(said: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`said` with values put under dotted names."""
    whole = deepcopy(dict(said))
    for name, value in values.items():
        *path, last = name.split(".")
        inner = whole
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return whole
