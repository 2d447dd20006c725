"""A shell with ``eval "$(rtp env)"``: the platform's own addresses are not taken for somebody's own servers."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rtp_workers.endpoints import Endpoints
from rtp_workers.local.own_exports import NOTE, exports, forget_ours, note_ours
from rtp_workers.settings import PlatformSettings, load

OURS = Endpoints("127.0.0.1:1", {}, "postgresql://o", "postgresql://i", "postgresql://r", consumer_url="http://c")


@pytest.fixture(autouse=True)
def in_a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RTP_HOME", str(tmp_path / "home"))


def exported_shell(home: Path) -> dict[str, str]:
    return {"PATH": "/bin", **exports(load(PlatformSettings, home=home), OURS)}


def test_addresses_that_the_platform_has_exported_are_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    note_ours(home, OURS)
    shell = exported_shell(home)
    forget_ours(shell)
    assert sorted(shell) == ["DAGSTER_HOME", "PATH", "RTP_ENV_HOME", "RTP_HOME", "RTP_TOPIC"]


def test_they_are_recognised_in_another_home_too(tmp_path: Path) -> None:
    note_ours(tmp_path / "first", OURS)
    shell = {**exported_shell(tmp_path / "first"), "RTP_HOME": str(tmp_path / "second")}
    forget_ours(shell)
    assert "RTP_KAFKA_BOOTSTRAP" not in shell
    assert "RTP_POSTGRES_DSN" not in shell


def test_somebodys_own_servers_stay(tmp_path: Path) -> None:
    note_ours(tmp_path / "home", OURS)
    shell = exported_shell(tmp_path / "home") | {"RTP_KAFKA_BOOTSTRAP": "kafka.example:9092"}
    forget_ours(shell)
    assert shell["RTP_KAFKA_BOOTSTRAP"] == "kafka.example:9092"
    assert "RTP_POSTGRES_DSN" not in shell


def test_without_a_note_nothing_is_forgotten(tmp_path: Path) -> None:
    shell = exported_shell(tmp_path / "home")
    before = dict(shell)
    forget_ours(shell)
    assert shell == before


def test_the_note_holds_passwords_and_is_its_owners_only(tmp_path: Path) -> None:
    note_ours(tmp_path, OURS)
    assert stat.S_IMODE((tmp_path / NOTE).stat().st_mode) == 0o600
