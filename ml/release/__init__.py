"""From a judged bundle to the live one: gate, registry, publication. Never trains, never serves."""

from ml.release.gate import GateSettings, PerUserMetrics, Verdict, judge
from ml.release.publish import prune, publish, published, rollback
from ml.release.registry import Candidate, RegisteredVersion, Registry

__all__ = [
    "Candidate",
    "GateSettings",
    "PerUserMetrics",
    "RegisteredVersion",
    "Registry",
    "Verdict",
    "judge",
    "prune",
    "publish",
    "published",
    "rollback",
]
