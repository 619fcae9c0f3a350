"""Which processes train one retriever together. Knows no TensorFlow: see `ml.retrieval.replicas`."""

import json
from dataclasses import dataclass
from typing import Any, Self

from ml.contract.errors import PlatformError, RecipeError


@dataclass(frozen=True)
class Cluster:
    """The same code runs in every process on the same examples; each learns from its own part of every batch."""

    workers: tuple[str, ...]
    """host:port of each, in one order that all know. The first is the chief: it alone writes."""
    index: int
    """Which of them this process is."""

    @classmethod
    def of(cls, tf_config: str | None) -> Self | None:
        """What TensorFlow's variable TF_CONFIG says; None, one process alone, where it is unset or names one.

        Raises:
            PlatformError: it is not a list of workers and one of them.
        """
        if not tf_config:
            return None
        try:
            said: dict[str, Any] = json.loads(tf_config)
            workers, task = tuple(map(str, said["cluster"]["worker"])), said["task"]
            index = int(task["index"])
            fits = set(said["cluster"]) == {"worker"} and task["type"] == "worker" and 0 <= index < len(workers)
        except (ValueError, KeyError, TypeError):
            fits = False
        if not fits:
            raise PlatformError(
                'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}. '
                f"Received: {tf_config}. Unset it to train in one process; there is no chief and no parameter server here, "
                "worker 0 does the writing."
            )
        return cls(workers, index) if len(workers) > 1 else None

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def part(self, size: int) -> slice:
        """This process's part of a batch.

        Raises:
            RecipeError: a batch cannot be cut into equal parts.
        """
        if size % len(self.workers):
            raise RecipeError(
                f"A batch must be cut into {len(self.workers)} equal parts. Received: {size} examples. "
                "Choose another `batch_size`, or train in one process when there are fewer examples than that."
            )
        own = size // len(self.workers)
        return slice(self.index * own, (self.index + 1) * own)
