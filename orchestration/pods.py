"""How big the Kubernetes pods of runs and steps are: one file, read where AISLE_PODS names it, so that a size is no code."""

from pathlib import Path
from typing import Any, Literal, Self

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import PlatformError

CONFIG_TAG = "dagster-k8s/config"
"""On a job: the run launcher reads it. Everything else ignores it."""

Job = Literal[
    "train_and_release", "retrain", "refresh_index", "check_drift", "search_recipes", "compare_recipes"
]  # fmt: skip
Step = Literal[
    "event_models", "feature_models", "ml/training_examples", "ml/retriever", "ml/item_vectors", "ml/ann_index",
    "ml/candidate_sources", "ml/ranker", "ml/candidate_bundle", "ml/offline_report", "ml/released_bundle",
    "ml/best_recipe", "ml/experiment_comparison", "monitoring/feature_drift",
]  # fmt: skip
"""Assets by key; of dbt's many the two functions that build them."""


class PodSize(BaseModel):
    """What one pod asks of its node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: float = Field(gt=0, le=256, description="Cores, requested. No limit: an idle core of the node may be used.")
    memory: str = Field(pattern=r"^\d+(Mi|Gi)$", description="Requested and the limit: more than that ends the pod.")
    disk: str = Field(pattern=r"^\d+(Mi|Gi)$", description="Ephemeral storage, requested and the limit.")

    def kubernetes_config(self) -> dict[str, Any]:
        """The value of `dagster-k8s/config`."""
        held = {"memory": self.memory, "ephemeral-storage": self.disk}
        return {"container_config": {"resources": {"requests": {"cpu": f"{self.cpu:g}", **held}, "limits": held}}}


class Pods(BaseModel):
    """Sizes by job and by step. What is not named has the size the run launcher gives every run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Literal["in_process", "k8s"] = Field(
        default="in_process",
        description="in_process: one pod per run, as big as its biggest step. k8s: a pod per step; `steps` count.",
    )
    runs: dict[Job, PodSize] = Field(default_factory=dict, description="By job.")
    steps: dict[Step, PodSize] = Field(default_factory=dict, description="By asset. Count with executor k8s only.")

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """The sizes in a YAML file; none, and one process per run, where there is no file.

        Raises:
            PlatformError: the file is absent, or names a job, a step or a field there is not.
        """
        if path is None:
            return cls()
        if not path.is_file():
            raise PlatformError(
                f"Expected the file AISLE_PODS names. Received: {path}, which does not exist. Unset it."
            )
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {})
        except ValidationError as error:
            wrong = "; ".join(
                f"`{'.'.join(map(str, e['loc']))}`: {e['msg']} (received {e['input']!r})" for e in error.errors()
            )
            raise PlatformError(
                f"{path} must be sizes of pods: {wrong}. deploy/dagster/pods.yaml is an example."
            ) from error

    def run_tags(self, job: Job) -> dict[str, Any]:
        """Tags that give every run of a job its pod; none where the file does not name it."""
        return {CONFIG_TAG: self.runs[job].kubernetes_config()} if job in self.runs else {}

    def executor_definition(self) -> dg.ExecutorDefinition:
        """How the steps of a run are started."""
        if self.executor == "in_process":
            # One process per run: a process per step costs three seconds each, and as much memory again.
            return dg.in_process_executor
        from dagster_k8s import k8s_job_executor

        # A step is called as its function is, without the prefix that loading its module gives the asset.
        per_step = {step.rpartition("/")[2]: size.kubernetes_config() for step, size in self.steps.items()}
        return k8s_job_executor.configured({"per_step_k8s_config": per_step}, name="k8s")
