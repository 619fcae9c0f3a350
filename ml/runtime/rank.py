"""The learned order of candidates, and the un-learned blend for where nothing was learned."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import BundleError
from ml.contract.types import Floats
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.enrich import FEATURES
from ml.runtime.forest import Forest
from ml.runtime.kernel import compiled

BLEND = {"bought_together": 0.5, "item_knn": 0.3, "ease": 0.3, "two_tower": 0.2, "popular": 0.02}
"""Weights of source shares on a product page: co-purchase first, then collaborative, then likeness of vectors."""


MAX_DIFFERENCE = 1e-6
"""Between the kernel's scores and LightGBM's, on rows drawn at the trees' own thresholds. Measured: 0."""
GOLDEN_ROWS = 256
"""Rows a ranker is tried on: on its trees' thresholds, just above them, and nowhere."""


@dataclass(frozen=True)
class Ranker:
    """A LightGBM lambdarank model in its text form."""

    text: str

    @cached_property
    def _booster(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.text)

    @cached_property
    def _forest(self) -> Forest:
        return Forest.parse(self.text)

    def scores(self, features: Floats) -> Floats:
        """`[n, len(FEATURES)] -> [n]`, higher is better. By LightGBM itself where the kernel was not built."""
        kernel = compiled()
        scores = self._by_lightgbm(features) if kernel is None else self._forest.scores(features, kernel.score_forest)
        return scores.astype(np.float32)

    def _by_lightgbm(self, features: Floats) -> NDArray[np.float64]:
        """On one thread: LightGBM's default pool costs 900 us a call."""
        return np.asarray(self._booster.predict(features, num_threads=1), np.float64)

    def golden(self) -> Floats:
        """Rows and, in the last column, LightGBM's scores of them `[GOLDEN_ROWS, len(FEATURES) + 1]`."""
        rows = self._forest.golden_rows(GOLDEN_ROWS)
        return np.column_stack([rows, self._by_lightgbm(rows)]).astype(np.float32)

    def verify(self, golden: Floats) -> None:
        """Compare the scores of this machine with LightGBM's.

        Raises:
            BundleError: they differ.
        """
        difference = np.abs(self.scores(golden[:, :-1]) - golden[:, -1]).max()
        if not difference <= MAX_DIFFERENCE:
            raise BundleError(
                f"The ranker's kernel must give LightGBM's scores to {MAX_DIFFERENCE}. Received: a difference of {difference}. "
                "Build it anew with another compiler (`python -m tools.build_kernel`), or remove the build: LightGBM scores then."
            )

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        """What each feature adds to each score (TreeSHAP), and last what is added to all `[n, len(FEATURES) + 1]`; rows sum to the scores."""
        return np.asarray(self._booster.predict(features, pred_contrib=True, num_threads=1), np.float64)

    def importances(self) -> dict[str, float]:
        """Total gain per feature, as shares."""
        gains = self._booster.feature_importance("gain")
        return dict(zip(FEATURES, (gains / max(gains.sum(), 1e-9)).tolist(), strict=True))

    def save(self, path: Path) -> None:
        path.write_text(self.text)

    @classmethod
    def load(cls, path: Path, *, golden: Path | None = None) -> Self:
        """The ranker in a file, once its scores are LightGBM's.

        Args:
            golden: holds `golden()` of where it was written. LightGBM, whose import takes longer than all else of a start, is then
                needed for contributions alone; without it, it is asked now.
        """
        ranker = cls(path.read_text())
        ranker._require_features()
        ranker.verify(np.load(golden) if golden and golden.exists() else ranker.golden())
        return ranker

    def _require_features(self) -> None:
        names = self.text.partition("\nfeature_names=")[2].partition("\n")[0].split()
        if tuple(names) != FEATURES:
            raise BundleError(
                f"The ranker was trained on {len(names)} features that are not this version's {len(FEATURES)}. "
                "Re-materialise `ranker`."
            )


def blended(candidates: Candidates, taste: Floats | None = None) -> Floats:
    """Weighted sum of the sources' shares, times what the visitor's taste multiplies each with `[num_candidates]`."""
    weights = np.array([BLEND.get(source, 0.0) for source in SOURCES], np.float32)
    related = candidates.shares @ weights
    return related if taste is None else related * taste


def together_first(candidates: Candidates, taste: Floats | None = None) -> Floats:
    """What lay in one basket before what did not `[num_candidates]`: 1 + its share of the strongest, else the blend.

    The blend of an item that lay in no basket with it stays below 1: its weights without `bought_together` sum to 0.82, and taste
    lifts it no further than the one it lifts most.
    """
    together = candidates.shares[:, SOURCES.index("bought_together")]
    rest = blended(candidates, taste)
    if taste is not None:
        together, rest = together * taste, rest / taste.max(initial=1.0)
    return np.where(together > 0, 1.0 + together, rest).astype(np.float32)
