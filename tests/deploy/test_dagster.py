"""The production instance: its history in a real PostgreSQL, its logs in a bucket, its runs as Kubernetes jobs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ml.contract.errors import PlatformError
from orchestration.pods import CONFIG_TAG, Job, Pods, PodSize, Step

FOLDER = Path(__file__).parents[2] / "deploy" / "dagster"
PODS = FOLDER / "pods.yaml"


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql_port: int, bucket: str) -> Path:
    """Our dagster.yaml, with the variables the pods get."""
    shutil.copy(FOLDER / "dagster.yaml", tmp_path)
    values = {
        "HOST": "127.0.0.1",
        "PORT": str(postgresql_port),
        "USERNAME": "dagster",
        "PASSWORD": "p",
        "DB": "dagster",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
    monkeypatch.setenv("AISLE_GCP_BUCKET", bucket)
    return tmp_path


@dg.op
def says_something(context: dg.OpExecutionContext) -> None:
    context.log.info("said")


@dg.job
def small() -> None:
    says_something()


@pytest.mark.services
def test_history_is_kept_in_postgresql(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        run_id = small.execute_in_process(instance=instance).run_id
    with dg.DagsterInstance.from_config(str(dagster_home)) as again:
        assert type(again.event_log_storage).__name__ == "PostgresEventLogStorage"
        found = again.get_run_by_id(run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.SUCCESS
        assert any("said" in entry.user_message for entry in again.all_logs(run_id))


@pytest.mark.services
def test_what_steps_print_is_read_back_from_the_bucket(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        logs = instance.compute_log_manager
        with logs.capture_logs(["run", "compute_logs", "step"]):
            print("as a step would")  # noqa: T201
        assert type(logs).__name__ == "GCSComputeLogManager"
        assert "as a step would" in logs.get_log_data(["run", "compute_logs", "step"]).stdout.decode()


@pytest.mark.services
def test_limits_and_watch_of_runs_are_as_written(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert {"key": "aisle/retrain", "limit": 1} in queue.tag_concurrency_limits
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled


@pytest.mark.services
def test_a_retraining_run_becomes_a_kubernetes_job_with_the_size_written_for_it(
    dagster_home: Path, kubernetes: Any
) -> None:
    described = yaml.safe_load((dagster_home / "dagster.yaml").read_text())
    # Outside a cluster the address comes from a file; everything else is ours as it is.
    described["run_launcher"]["config"] |= {
        "load_incluster_config": False, "kubeconfig_file": str(kubernetes.kubeconfig), "job_image": "aisle:1",
    }  # fmt: skip
    (dagster_home / "dagster.yaml").write_text(yaml.safe_dump(described))
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        launched = launch(instance, tags=Pods.read(PODS).run_tags("retrain"))
        [job] = kubernetes.created
        assert launched.run_id in job["metadata"]["name"]
    assert job["path"] == "/apis/batch/v1/namespaces/aisle/jobs"
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    written = yaml.safe_load(PODS.read_text())["runs"]["retrain"]
    assert container["resources"]["limits"]["memory"] == written["memory"]
    assert container["resources"]["requests"]["cpu"] == str(written["cpu"])
    assert pod["serviceAccountName"] == "aisle-dagster"
    assert {"secretRef": {"name": "aisle"}} in container["envFrom"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/etc/aisle", "/var/aisle"}
    assert job["spec"]["backoffLimit"] == 0


def launch(instance: dg.DagsterInstance, *, tags: dict[str, Any]) -> dg.DagsterRun:
    """As the daemon does: a run of a job this process knows by module, handed to the instance's launcher."""
    from dagster._core.launcher import LaunchRunContext

    job = dg.reconstructable(small)
    run = instance.create_run_for_job(
        small,
        tags={name: json.dumps(value) if not isinstance(value, str) else value for name, value in tags.items()},
        job_code_origin=job.get_python_origin(),
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run


def test_the_sizes_shipped_are_ones_dagster_k8s_understands() -> None:
    from dagster_k8s.job import UserDefinedDagsterK8sConfig, get_user_defined_k8s_config

    pods = Pods.read(PODS)
    assert set(pods.runs) == set(Job.__args__)
    for name in pods.runs:
        [(tag, value)] = pods.run_tags(name).items()
        read = get_user_defined_k8s_config({tag: json.dumps(value)})
        assert isinstance(read, UserDefinedDagsterK8sConfig)
        assert read.container_config["resources"]["limits"]["memory"] == pods.runs[name].memory
    assert CONFIG_TAG == "dagster-k8s/config"


def test_steps_that_can_be_sized_are_the_steps_there_are() -> None:
    """A step with a wrong name would silently get the default pod."""
    from orchestration.definitions import defs

    jobs = ("train_and_release", "check_drift", "search_recipes", "compare_recipes")
    steps = {node.name for job in jobs for node in defs.resolve_job_def(job).graph.nodes}
    assert {step.rpartition("/")[2] for step in Step.__args__} <= steps


def test_one_process_is_what_runs_without_a_file_and_pods_per_step_with_one_that_says_so(tmp_path: Path) -> None:
    assert Pods.read(None).executor_definition() is dg.in_process_executor
    assert Pods.read(None).run_tags("retrain") == {}
    file = tmp_path / "pods.yaml"
    file.write_text("executor: k8s\nsteps: {ml/retriever: {cpu: 16, memory: 64Gi, disk: 40Gi}}\n")
    executor = Pods.read(file).executor_definition()
    assert executor.name == "k8s"
    resolved = executor.config_schema.resolve_config({}).value["config"]
    [(step, config)] = resolved["per_step_k8s_config"].items()
    assert step == "retriever"
    assert config["container_config"]["resources"]["limits"]["memory"] == "64Gi"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("runs: {retrian: {cpu: 1, memory: 1Gi, disk: 1Gi}}", "retrian"),
        ("steps: {ml/retreiver: {cpu: 1, memory: 1Gi, disk: 1Gi}}", "retreiver"),
        ("runs: {retrain: {cpu: 0, memory: 1Gi, disk: 1Gi}}", "cpu"),
        ("runs: {retrain: {cpu: 1, memory: 1 GB, disk: 1Gi}}", "memory"),
        ("executer: k8s", "executer"),
    ],
)
def test_what_the_file_misspells_is_named(tmp_path: Path, written: str, named: str) -> None:
    file = tmp_path / "pods.yaml"
    file.write_text(written)
    with pytest.raises(PlatformError, match=named):
        Pods.read(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="does not exist"):
        Pods.read(tmp_path / "none.yaml")


def test_memory_is_requested_as_much_as_it_is_limited() -> None:
    """A pod that was promised less than it may take is ended when its node runs full."""
    resources = PodSize(cpu=0.5, memory="4Gi", disk="1Gi").kubernetes_config()["container_config"]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "4Gi"
    assert resources["requests"]["cpu"] == "0.5"
    assert "cpu" not in resources["limits"]


def test_what_the_image_copies_is_there_and_nothing_else_is_sent_to_the_build() -> None:
    """A home's tables and keys lie in the same folder as the code."""
    root = FOLDER.parents[1]
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    copied = sorted(name for line in lines for name in line.split())
    sent = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert [name for name in copied if not (root / name).exists()] == []
    assert copied == sorted(line[1:] for line in sent if line.startswith("!"))
    assert "*" in sent
