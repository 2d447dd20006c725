"""Every values file gives resources that the API server and the operators' own definitions accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.k8s.cluster import CHART, RELEASE, helm, kubectl

VALUES = sorted((CHART / "values").glob("*.yaml"))
ALL_AT_ONCE = (
    "pgadmin.enabled=true",
    "ingress.enabled=true",
    "ingress.hosts.producer=live.example.com",
    "ingress.hosts.pgadmin=pgadmin.example.com",
    "kafka.rackFieldPath=metadata.labels['topology.kubernetes.io/zone']",
    "kafka.groupProtocol=consumer",
    "apiTokenSecret.name=rtp-api",
)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_accepts_what_the_chart_makes_of_a_values_file(node: None, values: Path) -> None:
    helm("lint", str(CHART), "--strict", "--values", str(values))
    rendered = helm("template", RELEASE, str(CHART), "--values", str(values))
    dry_run(rendered)


def test_the_api_server_accepts_everything_that_is_off_by_default(node: None) -> None:
    settings = [word for setting in ALL_AT_ONCE for word in ("--set", setting)]
    rendered = helm("template", RELEASE, str(CHART), "--values", str(CHART / "values" / "trial.yaml"), *settings)
    dry_run(rendered)


@pytest.mark.parametrize("wrong", ["kafka.partition=3", "kafka.partitions=many", "settings.LOG_LEVEL=DEBUG"])
def test_a_value_that_is_not_known_or_of_another_type_is_refused(node: None, wrong: str) -> None:
    trial = str(CHART / "values" / "trial.yaml")
    assert helm("template", RELEASE, str(CHART), "--values", trial, "--set", wrong, check=False) == ""


def dry_run(rendered: str) -> None:
    """Has the API server check resources without storing them; a pod that is not restricted enough is a warning."""
    kubectl("apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename", "-", stdin=rendered)
