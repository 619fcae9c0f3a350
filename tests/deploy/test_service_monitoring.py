"""Dashboard and alarms speak of metrics that exist, and of pages that are there."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from serving.telemetry.metrics import REQUEST_SECONDS
from tests.deploy.manifests import DEPLOY, of_kind
from tests.form.test_docs import headings

FOLDER = DEPLOY / "monitoring"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for rule in RULES if "alert" in rule]


def test_each_alarm_has_a_runbook_that_is_a_heading_of_the_page():
    page = DEPLOY.parent / "docs" / "operations.md"
    for rule in ALERTS:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/operations.md"
        assert anchor in headings(page), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["for"]


def test_every_panel_has_a_place_of_its_own_and_a_question():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(target["expr"] for panel in PANELS for target in panel["targets"])


def test_the_alarm_of_slow_lists_counts_by_a_bucket_that_is_there():
    [slow] = [rule for rule in ALERTS if rule["alert"] == "AisleListsSlow"]
    assert [float(le) for le in re.findall(r'le="([\d.]+)"', slow["expr"])] == [0.1]
    assert 0.1 in REQUEST_SECONDS


def test_prometheus_finds_the_pods_by_the_headless_service():
    [job] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    [headless] = [s for s in of_kind("service", "Service") if s["spec"].get("clusterIP") == "None"]
    [lookup] = job["dns_sd_configs"]
    assert lookup["names"] == [f"{headless['metadata']['name']}.aisle.svc.cluster.local"]
    assert lookup["port"] == headless["spec"]["ports"][0]["port"]
    assert any(f'job="{job["job_name"]}"' in rule["expr"] for rule in ALERTS)


@pytest.mark.parametrize(
    "command",
    [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml"), ("check", "config", "--syntax-only", "prometheus.yml")],
    ids=" ".join,
)  # fmt: skip
def test_promtool_is_content(command):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install -y prometheus")
    done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_case_in_which_each_alarm_goes_off():
    cases = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    goes_off = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert goes_off == {rule["alert"] for rule in ALERTS}
