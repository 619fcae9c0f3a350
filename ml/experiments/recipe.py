"""A recipe: every choice of method in one file, so that two runs differ by what one can read."""

from pathlib import Path
from typing import Self

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
        try:
            return cls.model_validate({"name": path.stem, **said})
        except ValidationError as error:
            wrong = "; ".join(
                f"`{'.'.join(map(str, e['loc']))}`: {e['msg']} (received {e['input']!r})" for e in error.errors()
            )
            raise RecipeError(f"Recipe {path} does not fit: {wrong}. docs/recipes.md lists the fields.") from error
