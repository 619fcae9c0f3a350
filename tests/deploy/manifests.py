"""Kubernetes manifests, read and held against the API's own models."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PREFIXES = {
    "v1": "V1",
    "apps/v1": "V1",
    "batch/v1": "V1",
    "policy/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
    "autoscaling/v2": "V2",
}


@cache
def documents(part: str) -> list[dict[str, Any]]:
    """Every document of `deploy/<part>/kubernetes`."""
    paths = sorted((DEPLOY / part / "kubernetes").glob("*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def of_kind(part: str, kind: str) -> list[dict[str, Any]]:
    return [document for document in documents(part) if document["kind"] == kind]


def containers(part: str) -> list[dict[str, Any]]:
    pods = [d["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for d in of_kind(part, kind)]
    return [container for pod in pods for container in pod["containers"]]


def model_of(document: dict[str, Any]) -> type:
    import kubernetes.client

    return getattr(kubernetes.client, PREFIXES[document["apiVersion"]] + document["kind"])


def built(document: dict[str, Any]) -> Any:
    """The API's model of a manifest. Every field is one the client's generated models have, at every depth; unknown ones and wrong kinds raise."""
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

    return k8s_model_from_dict(model_of(document), k8s_snake_case_dict(model_of(document), document))
