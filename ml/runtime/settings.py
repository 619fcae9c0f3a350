"""What of the recipe the request path needs."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ml.runtime.candidates import CandidateSettings
from ml.runtime.diversity import DiversitySettings
from ml.runtime.exploration import ExplorationSettings
from ml.runtime.hybrid import HybridSettings
from ml.runtime.rules import Rules
from ml.runtime.taste import TasteSettings


class RequestSettings(BaseModel):
    """Travels in the bundle as `request.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: CandidateSettings = Field(default_factory=CandidateSettings)
    hybrid: HybridSettings = Field(default_factory=HybridSettings)
    rules: Rules = Field(default_factory=Rules)
    taste: TasteSettings = Field(default_factory=TasteSettings)
    diversity: DiversitySettings = Field(default_factory=DiversitySettings)
    exploration: ExplorationSettings = Field(default_factory=ExplorationSettings)

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1))

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate_json(path.read_bytes())
