"""Prometheus, run for real next to the platform: it scrapes both services and evaluates every rule."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtp_workers.local.ports import free_port
from tests.compose.docker import ROOT, Project, docker, eventually

OVERLAY = "deploy/compose.observability.yml"


@pytest.fixture(scope="module")
def prometheus(platform: Project) -> Iterator[str]:
    """The address of a Prometheus that belongs to the running platform's project."""
    image = yaml.safe_load((ROOT / OVERLAY).read_text())["services"]["prometheus"]["image"]
    if not docker("image", "ls", "--quiet", image).strip():
        docker("build", "--tag", image, str(Path(__file__).parent / "prometheus"))
    port = free_port()
    settings = {**platform.settings, "RTP_PROMETHEUS_PORT": str(port)}
    watched = Project(platform.name, ("docker-compose.yml", OVERLAY), platform.command, platform.ports, settings)
    watched.compose("up", "--detach", "--no-deps", "prometheus")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        watched.compose("rm", "--stop", "--force", "--volumes", "prometheus")


def _asked(url: str) -> Any:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def _healthy_jobs(prometheus: str) -> set[str]:
    targets = (_asked(f"{prometheus}/api/v1/targets") or {"activeTargets": []})["activeTargets"]
    return {target["labels"]["job"] for target in targets if target["health"] == "up"}


def test_prometheus_reads_both_services(prometheus: str) -> None:
    eventually(lambda: _healthy_jobs(prometheus) == {"consumer", "producer"}, 120, "both targets up")
    url = f"{prometheus}/api/v1/query?query=rtp_consumer_records_total"
    eventually(lambda: (_asked(url) or {"result": []})["result"], 60, "a series of ours")


def test_prometheus_evaluates_every_rule(prometheus: str) -> None:
    written = yaml.safe_load((ROOT / "deploy/observability/alerts.yml").read_text())["groups"]
    names = {rule["alert"] for group in written for rule in group["rules"]}

    def evaluated() -> bool:
        groups = (_asked(f"{prometheus}/api/v1/rules") or {"groups": []})["groups"]
        return {rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"} == names

    eventually(evaluated, 120, "every rule evaluated without an error")
