"""Requests nobody thought of, against the whole OpenAPI page of the service: what schemathesis can make of it, alone and in chains.

    python -m tools.fuzz --cases 100000

Asks a real service over a small real release until so many cases were tried, then makes every list it got again from its trace. Prints the
cases, what was answered, how often each link was followed, every failure with a request that shows it, and the seconds. The exit code says
whether all held.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI
from schemathesis.core.parameters import ParameterLocation

from ml.evaluation.parity import ParityReport, parity
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.release.publish import publish
from orchestration.resources.releases import ReleaseStore
from orchestration.sources.feedback import FeedbackRows
from serving.app import create_app
from serving.security.keys import ApiKey, KeyFile, Scope
from serving.settings import ServiceSettings
from tests import world

PHASES = ("examples", "coverage", "fuzzing", "stateful")

BEYOND_OPENAPI = ("occurred_at must not be more than", "`last_day` must be of our time", "A period must have")
"""Promises about the clock, and of two parameters to each other, which no schema can say: only these may refuse what the page allows."""

PATIENCE_SECONDS = 60.0
"""Longer than the service itself waits for anything: that it breaks off in time is its own promise, on a busy machine too."""

CHECKS: dict[str, Any] = {
    "not_a_server_error": {},
    "status_code_conformance": {},
    "content_type_conformance": {},
    "response_schema_conformance": {},
    "response_headers_conformance": {},
    "negative_data_rejection": {},
    # 410: any version may be named for a comparison, and most were never kept.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "410", "429", "5xx"]},
    "missing_required_header": {},
    "ignored_auth": {},
    "unsupported_method": {},
    "allow_header_conformance": {},
    # Nothing here is created under an address and deleted again, so these would never look at anything.
    "use_after_free": {"enabled": False},
    "ensure_resource_availability": {"enabled": False},
    # A list belongs to no key: every key with a scope may explain every list.
    "object_level_authorization": {"enabled": False},
}


@dataclass(frozen=True)
class Failure:
    """One promise of the page that an answer broke."""

    check: str
    operation: str
    said: str
    request: str
    """As a curl command, its secrets left out."""


@dataclass
class Findings:
    """Of all that was asked."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Cases by operation and status; 0 where the app raised instead of answering."""
    links: Counter[str] = field(default_factory=Counter)
    """How often each declared link was followed with all it needs."""
    failures: list[Failure] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.answers.total()

    def __iadd__(self, other: "Findings") -> "Findings":
        self.answers += other.answers
        self.links += other.links
        self.failures += other.failures
        return self


def fuzz(
    app: FastAPI,
    key: str,
    *,
    seed: int,
    examples: int,
    chains: int,
    phases: Sequence[str] = PHASES,
    checks: Mapping[str, Any] | None = None,
) -> Findings:
    """Ask everything the app's OpenAPI page offers.

    Args:
        key: an API key the app knows.
        examples: cases an operation that chance makes, beside those that follow from the schema alone.
        chains: sequences of requests, each made of the answers before it.
        checks: instead of some of `CHECKS`.
    """
    from schemathesis import engine, openapi
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events

    config = SchemathesisConfig.from_dict(_config(key, seed, examples, chains, phases, {**CHECKS, **(checks or {})}))
    schema = openapi.from_asgi("/openapi.json", app, config=config)
    schema.hook("filter_failure")(_is_ours)
    findings = Findings()
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            findings += _of(event.recorder)
        elif isinstance(event, events.NonFatalError):  # the app raised, beside its answer or in place of it
            findings.failures.append(Failure("nothing_is_raised", event.label, repr(event.value), ""))
        elif isinstance(event, events.FatalError):
            raise event.exception
    return findings


def _config(
    key: str, seed: int, examples: int, chains: int, phases: Sequence[str], checks: Mapping[str, Any]
) -> dict[str, Any]:
    now = datetime.now(UTC)
    instants = [now - timedelta(days=days) for days in (0, 1, 30, 700)]
    made_by_chance = {"max-examples": examples, "database": "none"}
    return {
        "seed": seed,
        "headers": {"Authorization": f"Bearer {key}"},
        "continue-on-failure": True,
        "request-timeout": PATIENCE_SECONDS,
        "checks": dict(checks),
        "cache": {"enabled": False},
        "generation": made_by_chance,
        "phases": {
            **{name: {"enabled": name in phases} for name in PHASES},
            "stateful": {"enabled": "stateful" in phases, "generation": {**made_by_chance, "max-examples": chains}},
        },
        # What chance alone would hardly ever hit: items of the catalogue, people with a history, the same visit again, instants of our time.
        "dictionaries": {
            "items": {"values": [world.item_id(item) for item in range(world.NUM_ITEMS)]},
            "users": {"values": [world.user_id(user) for user in range(world.NUM_USERS)]},
            "sessions": {"values": ["s1", "s2", "s3"]},
            "instants": {"values": [instant.isoformat() for instant in instants]},
        },
        "parameters": {
            "path.item_id": {"dictionary": "items", "probability": 0.5},
            "body.item_id": {"dictionary": "items", "probability": 0.5},
            "body.item_ids[*]": {"dictionary": "items", "probability": 0.5},
            "query.user_id": {"dictionary": "users", "probability": 0.5},
            "body.user_id": {"dictionary": "users", "probability": 0.5},
            "query.session_id": {"dictionary": "sessions", "probability": 0.5},
            "body.session_id": {"dictionary": "sessions", "probability": 0.5},
            "body.occurred_at": {"dictionary": "instants", "probability": 0.5},
        },
    }


def _is_ours(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """False for a refusal by what no schema can say, and for a query that was meant to be wrong and is allowed as it was sent."""
    match type(failure).__name__:
        case "RejectedPositiveData" if response.status_code == 422:
            return not any(reason in response.json()["message"] for reason in BEYOND_OPENAPI)
        case "AcceptedNegativeData":
            wrong = [place for place, part in case.meta.components.items() if part.mode.is_negative]
            return wrong != [ParameterLocation.QUERY] or not _allows(case.operation.query, response.request.url)
    return True


def _allows(page: Any, url: str) -> bool:
    """Whether a query is one of the page's, read as what a URL is: text.

    `exclude=false` holds an array of one text, whether a text, an array or a truth value was turned into it; of a parameter that takes one
    value and was given several, the last counts.
    """
    fields = page.schema["properties"]
    query = {
        name: texts if fields.get(name, {}).get("type") == "array" else _number(texts[-1], fields.get(name, {}))
        for name, texts in parse_qs(urlsplit(url).query, keep_blank_values=True).items()
    }
    return bool(page.get_strict_validator().is_valid(query))


def _number(text: str, schema: Mapping[str, Any]) -> str | int:
    """The whole number a text spells where the page wants one, else the text."""
    try:
        return int(text) if schema.get("type") == "integer" else text
    except ValueError:
        return text


def _of(recorder: Any) -> Findings:
    findings = Findings()
    for case_id, node in recorder.cases.items():
        interaction = recorder.interactions.get(case_id)
        status = int(interaction.response.status_code) if interaction and interaction.response else 0
        findings.answers[node.value.operation.label, status] += 1
        if node.transition is not None and node.is_transition_applied:
            findings.links[node.transition.id] += 1
        for check in recorder.checks.get(case_id, []):
            if check.failure_info is not None:
                failure, request = check.failure_info.failure, check.failure_info.code_sample
                findings.failures.append(Failure(check.name, failure.operation, failure.message, request))
    return findings


@contextmanager
def service(home: Path) -> Iterator[FastAPI]:
    """The service of a home, holding no caller back. Afterwards its log is whole."""
    from schemathesis.python.asgi import shutdown_lifespans

    try:
        yield create_app(ServiceSettings(home=home, rate_per_second=1e6, rate_burst=1_000_000))
    finally:
        shutdown_lifespans()


def release_small_shop(home: Path) -> None:
    """The shop of the tests, whose people the service knows."""
    plain = world.user_id
    with mock.patch.object(world, "user_id", lambda user: pseudonym(plain(user), DEVELOPMENT_KEY)):
        folder = world.bundle_folder(home / "made").path
    publish(folder, releases=home / "releases", now=datetime.now(UTC))


def key_of(home: Path, scope: Scope) -> str:
    """A new key of a home."""
    secret, key = ApiKey.make(scope, [scope], now=datetime.now(UTC))
    path = ServiceSettings(home=home).api_keys_path
    KeyFile.read(path).with_key(key).write(path)
    return secret


def made_again(home: Path) -> ParityReport:
    """Every list the home's log holds, replayed."""
    log = FeedbackRows(f"sqlite:///{home}/feedback.db")
    return parity(ReleaseStore(home=str(home)).bundle, log.newest_lists(num_lists=10**9))


def campaign(home: Path, *, cases: int, seed: int) -> Findings:
    """At least so many cases against the small shop, with keys of each scope."""
    findings = Findings()
    keys = {scope: key_of(home, scope) for scope in Scope}
    release_small_shop(home)
    with service(home) as app:
        for key in keys.values():  # what follows from the page alone is asked once with each
            findings += _told(fuzz(app, key, seed=seed, examples=20, chains=20))
        while findings.cases < cases:
            seed += 1
            chance = ("fuzzing", "stateful")
            findings += _told(fuzz(app, keys[Scope.ADMIN], seed=seed, examples=300, chains=300, phases=chance))
            _say(f"{findings.cases} cases, {len(findings.failures)} failures, last seed {seed}")
    return findings


def _told(findings: Findings) -> Findings:
    for failure in findings.failures:
        _say(str(failure))
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        findings = campaign(Path(folder), cases=arguments.cases, seed=arguments.seed)
        seconds, asked_cpu = time.perf_counter() - started, time.process_time() - cpu
        report = made_again(Path(folder))
        again_cpu = time.process_time() - cpu - asked_cpu
    _say(_table(findings))
    _say(f"{findings.cases} cases, {len(findings.failures)} failures, {seconds:.0f} s ({asked_cpu:.0f} s of CPU).")
    _say(
        f"{report.num_replayed} logged lists made again in {again_cpu:.1f} s of CPU ({report.num_replayed / again_cpu:.0f} a second): "
        f"{report.num_different} different, worst difference {report.max_difference:.2g}."
    )
    return 0 if report.holds and not findings.failures else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _table(findings: Findings) -> str:
    answers = [f"{count:8} {status} {operation}" for (operation, status), count in sorted(findings.answers.items())]
    links = [f"{count:8} {link}" for link, count in sorted(findings.links.items())]
    return "\n".join(["\nAnswers", *answers, "\nLinks followed", *links, ""])


if __name__ == "__main__":
    sys.exit(main())
