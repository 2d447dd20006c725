"""Which versions `rtp --version` and `rtp doctor` tell."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from rtp_workers.cli import main
from rtp_workers.errors import ConfigError
from rtp_workers.local import doctor, kafka_jars, kafka_server, postgres_server
from rtp_workers.local.versions import postgres_version
from rtp_workers.settings import PlatformSettings


def test_the_version_names_the_servers_that_up_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command(["--version"]) == 0
    ours, servers = capsys.readouterr().out.splitlines()
    assert ours == f"rtp, version {version('real-time-data-platform')}"
    assert re.fullmatch(
        rf"`rtp up` starts Kafka {re.escape(kafka_jars.kafka_version())} and PostgreSQL 18\.\d+", servers
    )


def test_without_servers_the_version_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Path:
        raise ConfigError("not installed")

    monkeypatch.setattr(kafka_server, "java_program", missing)
    monkeypatch.setattr(postgres_server, "installation", missing)
    assert main.run_command(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "no server is installed: it uses your own"


def test_the_doctor_tells_both_versions() -> None:
    found = {finding.check: finding.detail for finding in doctor.programs(PlatformSettings.model_validate({}))}
    assert found["PostgreSQL"].startswith(f"{postgres_version()}, in /")
    assert found["Kafka"].startswith(kafka_jars.kafka_version())
