"""What is measured is what happened, by names the dashboard knows, and no line or label tells on anybody."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from time import perf_counter
from typing import get_args
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from ml.contract.errors import PlatformError
from ml.release.publish import publish
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.stages import Stage
from serving.app import create_app
from serving.feedback.engine import engine_of
from serving.release_mirror import MirrorState
from serving.settings import LogFormat, ServiceSettings
from serving.telemetry import Stopwatch, Telemetry
from serving.telemetry.logs import JsonLines, TextLines, redacted
from tests import world
from tests.serving.conftest import TestClient, wait_until

HOME = "/api/v1/recommendations/homepage"
PRODUCT = "/api/v1/recommendations/product/{item_id:path}"
OF_PROMETHEUS = {"up"}
A_METRIC = re.compile(r"\b(?:aisle|process)_\w+\b")


class Figures:
    """One scrape."""

    def __init__(self, client: TestClient) -> None:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        self.text = answer.text
        families = list(text_string_to_metric_families(answer.text))
        self.samples = [sample for family in families for sample in family.samples]
        self.names = {name for family in families for name in _series_of(family)}

    def of(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def labels(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def _series_of(family) -> set[str]:
    """Names a family's series have, also while it has none."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
    return {family.name + ending for ending in endings}


def test_requests_are_counted_by_the_pattern_of_their_path(client):
    client.get(HOME, params={"user_id": world.user_id(1)})
    client.get(PRODUCT.replace("{item_id:path}", world.item_id(3)))
    client.get(PRODUCT.replace("{item_id:path}", "nothing-like-it"))
    client.get("/secret-path-of-a-stranger")
    client.get(HOME, headers={"Authorization": ""})
    figures = Figures(client)
    assert figures.of("aisle_http_requests_total", route=HOME, method="GET", status="200") == 1
    assert figures.of("aisle_http_requests_total", route=PRODUCT, status="200") == 1
    assert figures.of("aisle_http_requests_total", route=PRODUCT, status="404") == 1
    assert figures.of("aisle_http_requests_total", route="none", status="404") == 1
    assert figures.of("aisle_http_requests_total", route="none", status="401") == 1
    assert figures.of("aisle_http_request_seconds_count", route=PRODUCT) == 2
    assert figures.of("aisle_http_requests_in_flight") == 1  # the scrape itself


def test_a_defect_is_counted_as_one(home):
    app = create_app(ServiceSettings(home=home))
    app.add_api_route("/api/v1/defect", lambda: 1 / 0)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/api/v1/defect").status_code == 500
        figures = Figures(client)
    assert figures.of("aisle_http_requests_total", route="/api/v1/defect", status="500") == 1
    assert figures.of("aisle_http_requests_in_flight") == 1


def test_a_method_nobody_knows_is_no_label(client):
    client.request("BREW", HOME)
    assert Figures(client).labels("aisle_http_requests_total", "method") == {"other"}


def test_lists_are_counted_by_surface_source_version_and_stage(client):
    answer = client.get(HOME, params={"user_id": world.user_id(1), "limit": 7}).json()
    client.get(PRODUCT.replace("{item_id:path}", world.item_id(3)), params={"exclude": [world.item_id(4)]})
    figures = Figures(client)
    version = answer["bundle_version"]
    personal = {"surface": "homepage", "bundle_version": version, "personalised": "true"}
    assert figures.of("aisle_lists_total", **personal) == 1
    for source in {item["source"] for item in answer["recommendations"]}:
        shown = sum(item["source"] == source for item in answer["recommendations"])
        assert figures.of("aisle_list_items_total", surface="homepage", source=source, bundle_version=version) == shown
    assert figures.of("aisle_list_rule_hits_total", surface="product", rule="about") == 1
    assert figures.of("aisle_list_rule_hits_total", surface="product", rule="excluded") == 1
    stages = figures.labels("aisle_list_stage_seconds_count", "stage")
    assert stages == {"visit", "wait", "filters", "query", "candidates", "features", "ranking", "placement", "answer"}
    for stage in stages:
        assert figures.of("aisle_list_stage_seconds_count", surface="homepage", stage=stage) == 1


def test_stages_add_up_to_less_than_the_request_and_fall_into_the_buckets(client):
    for _ in range(20):
        client.get(HOME, params={"user_id": world.user_id(1)})
    figures = Figures(client)
    whole = figures.of("aisle_http_request_seconds_sum", route=HOME)
    assert 0 < figures.of("aisle_list_stage_seconds_sum", surface="homepage") < whole
    for histogram, edges in (("aisle_list_stage_seconds", ("5e-05", "1.0")), ("aisle_http_request_seconds", ("0.001", "5.0"))):  # fmt: skip
        least, most = (figures.of(f"{histogram}_bucket", le=edge) for edge in edges)
        everything = figures.of(f"{histogram}_bucket", le="+Inf")
        assert least < everything  # they tell more than that all is fast
        assert most == everything


def test_the_log_keeps_how_long_each_stage_of_a_list_took(client):
    request_id = client.get(HOME, params={"user_id": world.user_id(1)}).json()["request_id"]
    engine = client.app.state.feedback.engine
    found: list[str] = []

    def is_written() -> bool:
        with engine.connect() as connection:
            statement = "select stages_ms from requests where request_id = ?"
            found[:] = connection.exec_driver_sql(statement, (request_id,)).scalars().all()
        return bool(found)

    wait_until(is_written)
    stages_ms = json.loads(found[0])
    assert next(iter(stages_ms)) == "visit"
    assert stages_ms["candidates"] > 0


def test_a_swap_drops_the_series_of_the_bundle_before_the_last(client, home, bundles):
    client.get(HOME)
    before = Figures(client)
    publish(bundles[1], releases=home / "releases", now=datetime(2026, 3, 4, tzinfo=UTC))
    wait_until(lambda: client.get(HOME).json()["bundle_version"] == bundles[1].name)
    after = Figures(client)
    assert after.of("aisle_bundle_swaps_total") == before.of("aisle_bundle_swaps_total") + 1
    assert after.labels("aisle_bundle_info", "bundle_version") == {bundles[1].name}
    assert after.labels("aisle_lists_total", "bundle_version") == {bundles[0].name, bundles[1].name}
    third = replace(recommend(client.app.state.live.release.bundle, HomeRequest(), now=world.CUT), bundle_version="3")
    client.app.state.telemetry.metrics.listed(third, Stopwatch())
    for metric in ("aisle_lists_total", "aisle_list_items_total"):
        assert Figures(client).labels(metric, "bundle_version") == {bundles[1].name, "3"}


def test_a_refused_release_is_told(client, home):
    good = Figures(client)
    assert (good.of("aisle_bundle_live"), good.of("aisle_release_refused")) == (1, 0)
    (home / "releases" / "current.json").write_text("{not json")
    wait_until(lambda: Figures(client).of("aisle_release_refused") == 1)
    bad = Figures(client)
    assert bad.of("aisle_bundle_live") == 1
    assert bad.of("aisle_release_refusals_total") == 1


def test_without_a_bundle_there_is_none_to_tell_of(empty_client):
    figures = Figures(empty_client)
    assert figures.of("aisle_bundle_live") == 0
    assert figures.labels("aisle_bundle_info", "bundle_version") == set()


def test_interactions_are_counted_by_what_became_of_them(client):
    event = {"event_id": "e1", "user_id": "u1", "item_id": world.item_id(1), "event_type": "view"}
    for _ in range(2):
        client.post("/api/v1/interactions", json={"interactions": [event, {"event_type": "dance"}]})
    figures = Figures(client)
    verdicts = {verdict: figures.of("aisle_feedback_events_total", verdict=verdict) for verdict in ("accepted", "duplicate", "rejected")}  # fmt: skip
    assert verdicts == {"accepted": 1, "duplicate": 1, "rejected": 2}
    assert figures.of("aisle_feedback_commit_seconds_count") == 2


def test_what_the_log_cannot_take_is_told(client, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("insert", {}, Exception("disk full"))

    writer = client.app.state.feedback._writer
    monkeypatch.setattr(writer, "_insert", refuse)
    monkeypatch.setattr("serving.feedback.writer._insert_lists", refuse)
    event = {"event_id": "e1", "user_id": "u1", "item_id": world.item_id(1), "event_type": "view"}
    assert client.post("/api/v1/interactions", json=event).status_code == 503
    client.get(HOME)
    wait_until(lambda: Figures(client).of("aisle_feedback_failed_commits_total", kind="lists") > 0)
    figures = Figures(client)
    assert figures.of("aisle_feedback_failed_commits_total", kind="events") == 1
    assert figures.of("aisle_feedback_waiting", kind="lists") == 1
    assert figures.of("aisle_feedback_list_lag_seconds") > 0


def test_the_mirror_tells_when_it_was_last_in_step(client, monkeypatch):
    name = "aisle_mirror_in_step_timestamp_seconds"
    live = type(client.app.state.live)

    def told() -> list[float]:
        return [sample.value for sample in Figures(client).samples if sample.name == name]

    assert told() == []
    state = MirrorState("gs://shop/releases", datetime(2026, 3, 4, tzinfo=UTC))
    monkeypatch.setattr(live, "mirror", property(lambda _: state))
    assert told() == [state.in_step_at.timestamp()]
    monkeypatch.setattr(live, "is_pinned", True)  # it is here, and will not be asked for again
    assert told() == []


def test_nobody_and_nothing_private_is_in_the_figures(client):
    secret = client.headers["Authorization"].removeprefix("Bearer ")
    client.get(HOME, params={"user_id": "alice-private", "session_id": "session-private"})
    client.get(PRODUCT.replace("{item_id:path}", world.item_id(3)), params={"user_id": "alice-private"})
    text = Figures(client).text
    key_id = secret.split("_")[1]
    assert [word for word in ("private", world.item_id(3), secret, key_id) if word in text] == []


def asked_names(repository) -> set[str]:
    """Every metric that the dashboard and the rules ask for."""
    folder = repository / "deploy" / "monitoring"
    groups = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    dashboard = json.loads((folder / "dashboard.json").read_text())
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    asked += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for expression in asked:
        assert set(re.findall(r"aisle:[\w:]+", expression)) <= recorded
    return {name for expression in asked for name in A_METRIC.findall(re.sub(r"aisle:[\w:]+", "", expression))}


def test_every_metric_of_dashboard_and_alarms_is_there(client, repository):
    asked = asked_names(repository)
    assert len(asked) > 20
    assert asked - Figures(client).names == set()


def test_every_label_of_dashboard_and_alarms_is_there(client, repository):
    """A misspelt label asks for nothing and never says so."""
    known = {"le", "instance", "job"} | {
        label
        for metric in vars(client.app.state.telemetry.metrics).values()
        for label in getattr(metric, "_labelnames", ())
    }
    known |= {label for sample in Figures(client).samples for label in sample.labels}
    text = "".join((repository / "deploy" / "monitoring" / name).read_text() for name in ("alerts.yaml", "dashboard.json")).replace('\\"', '"')  # fmt: skip
    asked = set(re.findall(r'[{,]\s*(\w+)\s*(?:=~|=|!=)\s*"', text))
    asked |= {label for group in re.findall(r"by \(([\w, ]+)\)", text) for label in group.split(", ")}
    assert asked - known == set()


def test_the_page_lists_every_metric_with_its_labels(client, repository):
    page = (repository / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(aisle_\w+)` \|([^|]*)\|", page, re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    client.get(HOME, params={"user_id": world.user_id(1)})
    client.get(PRODUCT.replace("{item_id:path}", world.item_id(3)))
    figures = Figures(client)
    there = {re.sub(r"_(bucket|count|sum)$", "", name) for name in figures.names if name.startswith("aisle_")}
    assert listed.keys() == there
    for sample in figures.samples:
        name = re.sub(r"_(bucket|count|sum)$", "", sample.name)
        if name in listed:
            assert sample.labels.keys() - {"le"} == listed[name], name


@pytest.mark.parametrize(("public", "status"), [(True, 200), (False, 401)])
def test_the_figures_need_a_key_unless_a_setting_opens_them(home, public, status):
    with TestClient(create_app(ServiceSettings(home=home, public_metrics=public))) as client:
        assert client.get("/metrics", headers={"Authorization": ""}).status_code == status


def test_two_apps_in_one_process_do_not_count_for_each_other(home):
    with TestClient(create_app(ServiceSettings(home=home))) as one, TestClient(create_app(ServiceSettings(home=home))) as other:  # fmt: skip
        one.get(HOME)
        assert Figures(other).of("aisle_lists_total") == 0
        assert Figures(one).of("aisle_lists_total") == 1


def test_watching_a_list_costs_little(client):
    """Every microsecond here is one of each answer; 20 is the budget, and a busy machine is forgiven."""
    bundle = client.app.state.live.release.bundle
    metrics = client.app.state.telemetry.metrics
    answer = recommend(bundle, HomeRequest(), now=world.CUT)
    rounds: list[float] = []
    for _ in range(50):
        started = perf_counter()
        watch = Stopwatch()
        for stage in ("visit", "wait", *get_args(Stage)):
            watch.over(stage)
        metrics.answered(route=HOME, method="GET", status=200, seconds=0.01)
        rounds.append(perf_counter() - started)
        metrics.listed(answer, watch)
    assert min(rounds) < 20e-6


# --- the log ------------------------------------------------------------------------------------------------------------


def line_of(message: str, *arguments: object, **extra: object) -> dict:
    record = logging.LogRecord("serving.x", logging.WARNING, "x.py", 1, message, arguments, None)
    vars(record).update(extra)
    return json.loads(JsonLines().format(record))


def test_a_line_is_one_object_with_its_facts():
    line = line_of("Two\nlines %s", 'and a quote "', facts={"route": HOME})
    assert line["message"] == 'Two\nlines and a quote "'
    assert (line["level"], line["logger"], line["route"]) == ("warning", "serving.x", HOME)
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert "request_id" not in line


def test_every_line_of_a_request_carries_its_id_and_none_tells_on_anybody(home):
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonLines().format(record))  # type: ignore[method-assign]
    logging.getLogger("serving").addHandler(handler)
    logging.getLogger("serving").setLevel(logging.DEBUG)
    try:
        app = create_app(ServiceSettings(home=home))

        @app.get("/api/v1/talks")
        def talks() -> None:
            logging.getLogger("serving.somewhere").info("in a thread")

        with TestClient(app) as client:
            secret = client.headers["Authorization"].removeprefix("Bearer ")
            client.get("/api/v1/talks", params={"user_id": "alice-private"}, headers={"X-Request-Id": "r1"})
            client.get(HOME, params={"user_id": "alice-private"}, headers={"X-Request-Id": "r2"})
    finally:
        logging.getLogger("serving").removeHandler(handler)
        logging.getLogger("serving").setLevel(logging.NOTSET)
    by_id = [json.loads(line) for line in lines if "request_id" in line]
    assert {(line["request_id"], line["logger"]) for line in by_id} >= {
        ("r1", "serving.somewhere"),
        ("r1", "serving.requests"),
        ("r2", "serving.requests"),
    }
    [answered] = [line for line in by_id if line["request_id"] == "r2"]
    assert (answered["route"], answered["status"], answered["level"]) == (HOME, 200, "debug")
    assert answered["duration_ms"] > 0
    assert "private" not in "".join(lines)
    assert secret not in "".join(lines)


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
def test_what_an_error_quotes_is_taken_out(formatter):
    quoted = f"aisle_0123abcd_{'k' * 43} postgresql://aisle:password1@db/aisle {HOME}?user_id=alice"
    try:
        raise RuntimeError(quoted)
    except RuntimeError as error:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s", (error,), (type(error), error, error.__traceback__))  # fmt: skip
    line = formatter.format(record)
    assert [word for word in ("k" * 43, "password1", "alice") if word in line] == []
    assert "aisle_0123abcd_..." in line
    assert "RuntimeError" in line


def test_an_error_of_the_log_does_not_quote_what_people_did(tmp_path):
    engine = engine_of(None, default=tmp_path / "x.db")
    with engine.connect() as connection, pytest.raises(OperationalError) as refused:
        connection.exec_driver_sql("insert into nowhere values (?)", ("alice-private",))
    assert "private" not in str(refused.value)
    engine.dispose()


@pytest.mark.parametrize("form", list(LogFormat))
def test_uvicorns_lines_have_the_same_form(form, repository):
    lines = f"""
import logging, logging.config
from serving.settings import LogFormat
from serving.telemetry.logs import log_config
logging.config.dictConfig(log_config(LogFormat({form.value!r}), "info"))
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
logging.getLogger("uvicorn.access").info('"GET %s?user_id=alice"', "/")
"""  # in a process of its own: `dictConfig` closes every handler there is, and what some of them write to
    process = subprocess.run(
        [sys.executable, "-c", lines], cwd=repository, check=True, stderr=subprocess.PIPE, text=True
    )
    [line] = process.stderr.splitlines()
    assert "Started server process [7]" in (json.loads(line)["message"] if form is LogFormat.JSON else line)


@pytest.mark.e2e
def test_a_whole_process_writes_nothing_but_lines_of_one_form_and_ends_when_told(home, repository):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = {"AISLE_HOME": str(home), "AISLE_SERVICE_PORT": str(port), "AISLE_LOG_FORMAT": "json", "AISLE_LOG_LEVEL": "debug", "AISLE_PUBLIC_METRICS": "true"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "serving"], cwd=repository, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: _status(f"{base}/readyz") == 200)
        assert _status(f"{base}{HOME}?user_id=alice-private") == 401
        assert _status(f"{base}/metrics") == 200
        process.terminate()
        _, written = process.communicate(timeout=30)
    finally:
        process.kill()
    lines = [json.loads(line) for line in written.splitlines() if "onnxruntime" not in line]
    messages = [line["message"] for line in lines if line["logger"] == "uvicorn.error"]
    assert "Application shutdown complete." in messages
    [refused] = [line for line in lines if line.get("status") == 401]
    assert (refused["route"], refused["logger"]) == ("none", "serving.requests")
    assert "private" not in written


def _status(url: str) -> int:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return 0


def test_redaction_leaves_other_text_alone():
    text = "Bundle 2026-03-02-0a1b failed its checksum on index/index.npy. Was it altered? Run `aisle rollback`."
    assert redacted(text) == text


# --- traces -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spans():
    """A collector in memory, and the telemetry that sends to it."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from serving.telemetry.traces import Traces

    exporter = in_memory.InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return exporter, Telemetry(Traces(provider))


def test_a_request_is_a_span_of_its_callers_trace_with_its_stages_under_it(home, spans, monkeypatch):
    exporter, telemetry = spans
    monkeypatch.setattr("serving.app.Telemetry.to", lambda _: telemetry)
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        headers = {"traceparent": f"00-{trace_id}-{parent_id}-01", "X-Request-Id": "r1"}
        client.get(HOME, params={"user_id": world.user_id(1)}, headers=headers)
        client.get("/nowhere?user_id=alice-private")
    found = exporter.get_finished_spans()
    [request] = [span for span in found if span.name == f"GET {HOME}"]
    assert (format(request.context.trace_id, "032x"), format(request.parent.span_id, "016x")) == (trace_id, parent_id)
    assert request.attributes["aisle.request_id"] == "r1"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["aisle.surface"] == "homepage"
    stages = [span for span in found if span.parent and span.parent.span_id == request.context.span_id]
    assert [span.name for span in stages] == ["visit", "wait", "filters", "query", "candidates", "features", "ranking", "placement", "answer"]  # fmt: skip
    for before, after in pairwise(stages):
        assert request.start_time <= before.start_time <= before.end_time == after.start_time
    assert "private" not in "".join(span.to_json() for span in found)


def test_lists_made_side_by_side_keep_to_their_own_spans(home, spans, monkeypatch):
    exporter, telemetry = spans
    monkeypatch.setattr("serving.app.Telemetry.to", lambda _: telemetry)
    with TestClient(create_app(ServiceSettings(home=home))) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda user: client.get(HOME, params={"user_id": world.user_id(user)}), range(12)))
    found = exporter.get_finished_spans()
    requests = [span for span in found if span.name == f"GET {HOME}"]
    assert len(requests) == 12
    for request in requests:
        assert sum(bool(span.parent) and span.parent.span_id == request.context.span_id for span in found) == 9


def test_without_an_endpoint_nothing_is_traced(client):
    assert client.app.state.telemetry.traces is None


def test_an_endpoint_without_opentelemetry_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(PlatformError, match=r"AISLE_OTEL_ENDPOINT needs OpenTelemetry.*extra `otel`"):
        Telemetry.to("http://127.0.0.1:4318")
