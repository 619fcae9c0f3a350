"""What Kubernetes is asked for is well formed, complete, and holds no secret."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, built, containers, documents

FOLDER = DEPLOY / "dagster"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))
FROM_THE_SECRET = {"DAGSTER_PG_PASSWORD", "AISLE_PSEUDONYM_KEY"}


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
    assert asked - set(environment) == {"DAGSTER_PG_PASSWORD"}
    assert "DAGSTER_PG_PASSWORD" in FROM_THE_SECRET


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
    root = FOLDER.parents[1]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for line in copied for name in line.split() if not (root / name).exists()] == []


def test_the_example_of_a_mapping_is_one_that_reads_bigquery_in_place() -> None:
    from orchestration.sources.mapping import Mapping

    mapping = Mapping.read(FOLDER / "mapping.yaml")
    assert not mapping.is_of_files
    assert mapping.interactions.first_day is not None
