"""What Kubernetes is asked for is well formed, complete, and holds no secret."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, built, containers, documents

ROOT = DEPLOY.parent
FOLDER = DEPLOY / "dagster"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))


@pytest.mark.parametrize("document", documents("dagster"), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}")
def test_every_manifest_is_what_the_api_declares(document: dict[str, Any]) -> None:
    assert built(document).metadata.name == document["metadata"]["name"]


def test_a_misspelt_field_is_refused() -> None:
    [code] = [d for d in documents("dagster") if d["kind"] == "Deployment" and d["metadata"]["name"] == "aisle-code"]
    broken = json.loads(json.dumps(code))
    broken["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(Exception, match=r"(?i)image_?pull_?police"):
        built(broken)


def test_kustomization_lists_every_manifest_and_every_file_it_names_is_there() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [f"kubernetes/{path.name}" for path in MANIFESTS]
    named = [name for generator in kustomization["configMapGenerator"] for name in generator["files"]]
    assert [name for name in named if not (FOLDER / name).is_file()] == []


def test_no_file_holds_a_secret_and_what_is_secret_comes_by_reference() -> None:
    assert [document["kind"] for document in documents("dagster") if document["kind"] == "Secret"] == []
    [environment] = [document["data"] for document in documents("dagster") if document["kind"] == "ConfigMap"]
    assert not [name for name in environment if re.search("PASSWORD|KEY|TOKEN|SECRET", name)]
    for container in containers("dagster"):
        assert {"secretRef": {"name": "aisle"}} in container["envFrom"]
        assert {"configMapRef": {"name": "aisle-environment"}} in container["envFrom"]


def test_every_variable_dagster_yaml_reads_is_given_to_the_pods() -> None:
    asked = set(re.findall(r"\{env: (\w+)\}", (FOLDER / "dagster.yaml").read_text()))
    [environment] = [document["data"] for document in documents("dagster") if document["kind"] == "ConfigMap"]
    secret = set(re.findall(r"--from-literal=(\w+)=", (ROOT / "docs" / "bigquery.md").read_text()))
    assert asked - set(environment) == {"DAGSTER_PG_PASSWORD"}
    assert secret == {"DAGSTER_PG_PASSWORD", "AISLE_PSEUDONYM_KEY", "AISLE_MLFLOW_TRACKING_URI"}


def test_the_pods_are_told_nothing_the_platform_does_not_know() -> None:
    from orchestration.settings import PlatformSettings

    [environment] = [document["data"] for document in documents("dagster") if document["kind"] == "ConfigMap"]
    told = {name.removeprefix("AISLE_").lower() for name in environment if name.startswith("AISLE_")}
    known = set(PlatformSettings.model_fields)
    assert told - known == set()


def test_nothing_runs_as_root_or_may_gain_rights() -> None:
    pods = [d["spec"]["template"]["spec"] for d in documents("dagster") if d["kind"] == "Deployment"]
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
    assert all(not container["securityContext"]["allowPrivilegeEscalation"] for container in containers("dagster"))
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    assert dockerfile.count("--require-hashes") == 2


def test_what_the_image_copies_is_in_the_repository() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for line in copied for name in line.split() if not (ROOT / name).exists()] == []


def test_the_example_of_a_mapping_is_one_that_reads_bigquery_in_place() -> None:
    from orchestration.sources.mapping import Mapping

    mapping = Mapping.read(FOLDER / "mapping.yaml")
    assert not mapping.is_of_files
    assert mapping.interactions.first_day is not None


def test_runs_get_the_image_of_the_code_location() -> None:
    """Kustomize copies it; here both ends of the copy are looked up by the paths it is told."""
    [replacement] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["replacements"]
    [target] = replacement["targets"]
    source = replacement["source"]
    assert looked_up(source, source["fieldPath"]) == "aisle-platform"
    assert [looked_up(target["select"], path) for path in target["fieldPaths"]] == ["aisle-platform"]
    assert {container["image"] for container in containers("dagster")} == {"aisle-platform"}


def looked_up(select: dict[str, str], path: str) -> Any:
    [value] = [
        d for d in documents("dagster") if (d["kind"], d["metadata"]["name"]) == (select["kind"], select["name"])
    ]
    for part in path.split("."):
        if found := re.fullmatch(r"\[(\w+)=(\w+)\]", part):
            [value] = [each for each in value if each[found[1]] == found[2]]
        else:
            value = value[part]
    return value
