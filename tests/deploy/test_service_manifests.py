"""What Kubernetes is asked for the service: well formed, able to stop without losing anything, and without a secret."""

import re
from typing import Any

import pytest
import yaml

from serving.app import create_app
from serving.feedback.log import _SECONDS_TO_FLUSH
from serving.live_bundle import JOIN_SECONDS
from serving.server import SECONDS_TO_FINISH
from serving.settings import Environment, ServiceSettings
from tests.deploy.manifests import DEPLOY, built, containers, documents, of_kind

FOLDER = DEPLOY / "service"
IN_THE_SECRET = {"AISLE_PSEUDONYM_KEY": "something-long", "AISLE_FEEDBACK_URL": "postgresql://a:b@c/d", "AISLE_REDIS_URL": "redis://e"}  # fmt: skip


@pytest.fixture
def deployment() -> dict[str, Any]:
    [found] = of_kind("service", "Deployment")
    return found


@pytest.fixture
def pod(deployment) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


@pytest.mark.parametrize("document", documents("service"), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}")
def test_every_manifest_is_what_the_api_declares(document):
    assert built(document).metadata.name == document["metadata"]["name"]


def test_kustomization_lists_every_manifest_and_names_the_image_they_ask_for():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert kustomization["resources"] == [f"kubernetes/{path.name}" for path in sorted((FOLDER / "kubernetes").iterdir())]  # fmt: skip
    assert {image["name"] for image in kustomization["images"]} == {part["image"] for part in containers("service")}


def test_the_pods_start_in_production_with_what_they_are_told(monkeypatch, pod):
    [environment] = [document["data"] for document in of_kind("service", "ConfigMap")]
    for name, value in (environment | IN_THE_SECRET).items():
        assert name.removeprefix("AISLE_").lower() in ServiceSettings.model_fields
        monkeypatch.setenv(name, value)
    settings = ServiceSettings(environment=Environment.PRODUCTION)
    assert settings.releases_remote
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert str(settings.api_keys_path.parent) in mounts


def test_no_file_holds_a_secret():
    assert of_kind("service", "Secret") == []
    [environment] = [document["data"] for document in of_kind("service", "ConfigMap")]
    assert not environment.keys() & IN_THE_SECRET.keys()
    assert not [name for name in environment if re.search("PASSWORD|KEY$|TOKEN|SECRET|_URL", name)]
    assert all({"secretRef": {"name": "aisle-service"}} in part["envFrom"] for part in containers("service"))


def test_nothing_runs_as_root_writes_its_root_or_may_gain_rights():
    pods = [d["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for d in of_kind("service", kind)]
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
    for part in containers("service"):
        guard = part["securityContext"]
        assert guard["readOnlyRootFilesystem"]
        assert guard["allowPrivilegeEscalation"] is False
        assert guard["capabilities"] == {"drop": ["ALL"]}
        assert "/tmp" in {mount["mountPath"] for mount in part["volumeMounts"]}
        assert part["resources"]["requests"]["memory"] == part["resources"]["limits"]["memory"]


def test_probes_ask_paths_that_need_no_key_on_the_port_that_is_open(pod):
    [service] = pod["containers"]
    probes = {name: service[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",  # not /readyz: a service without a bundle is not cured by starting it again
        "readinessProbe": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {port["name"] for port in service["ports"]}
    [port] = service["ports"]
    assert port["containerPort"] == ServiceSettings.model_fields["service_port"].default
    paths = create_app(ServiceSettings()).openapi()["paths"]
    assert {probe["path"] for probe in probes.values()} <= paths.keys()


def test_a_pod_has_the_time_it_needs_to_stop(pod):
    [told] = of_kind("service", "ConfigMap")
    drains = float(told["data"]["AISLE_DRAIN_SECONDS"])
    assert drains >= 5, "until every node knows that its endpoint is withdrawn"
    assert pod["terminationGracePeriodSeconds"] >= drains + SECONDS_TO_FINISH + JOIN_SECONDS + _SECONDS_TO_FLUSH + 5


def test_everything_that_selects_pods_selects_these(deployment):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in of_kind("service", "Service")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind("service", "PodDisruptionBudget")]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind("service", "NetworkPolicy")]
    selectors += [spread["labelSelector"]["matchLabels"] for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]]  # fmt: skip
    assert selectors == [labels] * 7
    [scaler] = of_kind("service", "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


def test_a_disruption_leaves_a_replica():
    [scaler], [budget] = of_kind("service", "HorizontalPodAutoscaler"), of_kind("service", "PodDisruptionBudget")
    assert scaler["spec"]["minReplicas"] - budget["spec"]["maxUnavailable"] >= 1
