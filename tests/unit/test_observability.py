"""Alert rules and the dashboard: they fit Prometheus, and they name only metrics that our services have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rtp_workers.consumer.metrics import ConsumerMetrics
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher as ConsumerWatcher
from rtp_workers.generator.chaos import Chaos, Counts
from rtp_workers.producer.watching import Parts, ProducerMetrics
from rtp_workers.producer.watching import Watcher as ProducerWatcher

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "observability"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "platform.json"
METRIC = re.compile(r"\brtp_[a-z0-9_]+")


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of all series that both services' /metrics show."""
    state = ConsumerState(topic_id="t", positions={0: 1}, log={0: (0, 2)}, assigned={0})
    link = SimpleNamespace(trouble=None, acknowledged=0, failed=0, outstanding=0)
    controls = SimpleNamespace(rate_per_s=1.0, running=True, burst=0, chaos=Chaos())
    loop, submitter = SimpleNamespace(alive=True, generated=Counts()), SimpleNamespace(acknowledged=0)
    parts = cast(Parts, SimpleNamespace(controls=controls, loop=loop, link=link, submitter=submitter, topic="t"))
    registry = CollectorRegistry()
    registry.register(ConsumerMetrics(ConsumerWatcher(state), "transactions"))
    registry.register(ProducerMetrics(ProducerWatcher(parts)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name for family in families for sample in family.samples}


def _rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return panels


def test_rules_name_only_metrics_that_exist(exported: set[str]) -> None:
    for rule in _rules():
        assert set(METRIC.findall(rule["expr"])) <= exported, rule["alert"]


def test_panels_name_only_metrics_that_exist(exported: set[str]) -> None:
    for panel in _panels():
        for target in panel["targets"]:
            named = set(METRIC.findall(target["expr"]))
            assert named, panel["title"]
            assert named <= exported, panel["title"]


def test_every_rule_tells_a_person_what_is_wrong_and_where_to_look() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    fired = {check["alertname"] for case in cases for check in case["alert_rule_test"] if check["exp_alerts"]}
    assert fired == {rule["alert"] for rule in _rules()}


def test_panels_do_not_overlap_and_explain_themselves() -> None:
    cells = [
        (x, y)
        for panel in _panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(panel["title"] and panel["description"] for panel in _panels())


def test_the_dashboard_reads_from_the_provisioned_source() -> None:
    sources = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in _panels()} == {source["uid"] for source in sources}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
)
def test_prometheus_own_tool_accepts_configuration_and_rules(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed here (Debian's package prometheus has it); CI installs it")
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
