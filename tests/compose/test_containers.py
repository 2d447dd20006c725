"""How the containers are made: caps, privileges, ports, networks, and where the secrets are not."""

from __future__ import annotations

import json
import re

import pytest

from tests.compose.docker import EIGHT, OURS, Project, docker

GIB = 1 << 30
# DESIGN.md: cores and bytes. The first six are exact requirements.
CAPS = {
    "kafka": (2.0, 2 * GIB),
    "producer-streaming-api": (3.0, 2 * GIB),
    "batch-processor": (1.5, 1 * GIB),
    "consumer-streaming-api": (4.0, 2.5 * GIB),
    "postgres": (1.5, 2 * GIB),
    "pgadmin": (0.25, 0.5 * GIB),
    "dagster-webserver": (0.5, 288 * (1 << 20)),
    "dagster-daemon": (0.5, 224 * (1 << 20)),
}
UNREACHABLE = [
    ("pgadmin", "kafka", 29092),
    ("pgadmin", "consumer-streaming-api", 8002),
    ("dagster-webserver", "kafka", 29092),
    ("dagster-daemon", "kafka", 29092),
    ("producer-streaming-api", "postgres", 5432),
    ("kafka", "postgres", 5432),
]


@pytest.mark.parametrize("service", EIGHT)
def test_caps_are_the_required_ones(platform: Project, service: str) -> None:
    host = platform.container(service)["HostConfig"]
    assert (host["CpuQuota"] / host["CpuPeriod"], host["Memory"]) == CAPS[service]


def test_caps_fit_a_host_of_16_cores_and_16_gb() -> None:
    assert sum(cores for cores, _ in CAPS.values()) <= 13.25
    assert sum(memory for _, memory in CAPS.values()) <= 10.5 * GIB


@pytest.mark.parametrize("service", ["setup", *EIGHT])
def test_no_service_has_more_privileges_than_it_needs(platform: Project, service: str) -> None:
    found = platform.container(service)
    host = found["HostConfig"]
    allowed = {"setup": ["CHOWN"], "pgadmin": ["NET_BIND_SERVICE"]}.get(service)
    assert host["CapDrop"] == ["ALL"]
    assert [name.removeprefix("CAP_") for name in host["CapAdd"] or []] == (allowed or [])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert host["PidsLimit"] > 0


@pytest.mark.parametrize("service", EIGHT)
def test_no_service_runs_as_root(platform: Project, service: str) -> None:
    assert platform.exec(service, "id", "-u").strip() != "0"


@pytest.mark.parametrize("service", EIGHT)
def test_the_root_file_system_takes_no_writes(platform: Project, service: str) -> None:
    answer = platform.exec(service, "sh", "-c", "touch /written 2>&1 && echo done || true")
    assert "done" not in answer.splitlines()


def test_ports_are_published_on_loopback_only(platform: Project) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
        for container in platform.containers()
        for bindings in container["HostConfig"]["PortBindings"].values()
        for binding in bindings
    }
    publishing = (
        "kafka",
        "postgres",
        "pgadmin",
        "producer-streaming-api",
        "consumer-streaming-api",
        "dagster-webserver",
    )
    assert published == {(service, "127.0.0.1") for service in publishing}


@pytest.mark.parametrize(("service", "host", "port"), UNREACHABLE)
def test_forbidden_connections_do_not_come_about(platform: Project, service: str, host: str, port: int) -> None:
    assert _connects(platform, "consumer-streaming-api", "kafka", 29092), "the probe itself must work"
    assert not _connects(platform, service, host, port)


def test_inspect_layers_and_logs_hold_no_secret(platform: Project, image: str) -> None:
    shown = [json.dumps(platform.containers()), docker("history", "--no-trunc", image), docker("inspect", image)]
    logs = platform.compose("logs", "--no-color")
    passwords = _passwords(platform)
    assert len(passwords) >= 7
    for name, password in passwords.items():
        assert all(password not in text for text in (*shown, logs)), f"the password {name} is shown"


@pytest.mark.parametrize("service", OURS)
def test_a_service_holds_its_own_secrets_and_no_others(platform: Project, service: str) -> None:
    allowed = {
        "producer-streaming-api": set(),
        "consumer-streaming-api": {"rtp_ingest", "rtp_read"},
        "batch-processor": {"rtp_ingest", "rtp_read", "rtp_insights", "rtp_dagster"},
        "dagster-webserver": {"rtp_dagster"},
        "dagster-daemon": {"rtp_dagster"},
    }[service]
    seen = platform.exec(service, "sh", "-c", "cat /run/rtp/* 2>/dev/null; env")
    held = {name for name, password in _passwords(platform).items() if password in seen}
    assert held == allowed


def test_secret_files_are_readable_by_their_user_only(platform: Project) -> None:
    listing = platform.exec("batch-processor", "stat", "-c", "%a %u %n", "/run/rtp/pgpass")
    assert listing.split()[:2] == ["400", "10001"]
    listing = platform.exec("postgres", "stat", "-c", "%a %u %n", "/run/rtp/superuser-password")
    assert listing.split()[:2] == ["400", "999"]


def test_a_process_over_its_memory_is_killed_and_its_neighbours_are_not(platform: Project) -> None:
    before = {service: platform.container(service)["State"]["StartedAt"] for service in EIGHT}
    greedy = "held = bytearray(3 << 30); print('not killed', len(held))"
    answer = platform.compose(
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "batch-processor",
        "sh",
        "-c",
        f'python -c "{greedy}"; echo "code $?"',
        check=False,
    )
    assert "not killed" not in answer
    assert re.search(r"code 137", answer) or "code" not in answer
    after = {service: platform.container(service)["State"]["StartedAt"] for service in EIGHT}
    assert after == before


def _connects(project: Project, service: str, host: str, port: int) -> bool:
    attempt = f"timeout 3 bash -c ': < /dev/tcp/{host}/{port}' 2>/dev/null && echo connected || echo refused"
    return project.exec(service, "bash", "-c", attempt).strip() == "connected"


def _passwords(project: Project) -> dict[str, str]:
    script = "cd /secrets/master; for name in *; do [ $name = pgpass ] || echo $name $(cat $name); done"
    text = project.compose("run", "--rm", "--no-deps", "-T", "setup", "sh", "-c", script)
    return dict(line.split() for line in text.splitlines() if line.strip())
