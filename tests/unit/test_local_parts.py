"""The supervisor's decisions, ports, passwords, locks: without any server."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from rtp_workers import logs
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.local import children, passwords, ports
from rtp_workers.local.children import Child, Program, end_orphan, remember, remembered
from rtp_workers.local.embedded import home_locked
from rtp_workers.local.parts import SOCKET_PATH_BYTES, socket_path
from rtp_workers.local.supervisor import Watch
from tests.waiting import wait_until


@dataclass
class FakePart:
    """A part that does what the test says."""

    name: str = "part"
    alive: bool = True
    code: int = 1
    start_error: Exception | None = None
    starts: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    def start(self) -> None:
        self.starts.append("start")
        self.alive = True

    def running(self) -> bool:
        return self.alive

    def exit_code(self) -> int | None:
        return None if self.alive else self.code

    def stop(self) -> None:
        self.alive = False


def test_a_dead_part_is_started_again_after_a_pause_that_grows() -> None:
    part, pauses, now = FakePart(), [], 100.0
    watch = Watch(part, started_at=now)
    for _ in range(5):
        part.alive = False
        watch.look(now)
        assert watch.retry_at is not None
        pauses.append(watch.retry_at - now)
        watch.look(watch.retry_at - 0.01)
        assert not part.alive
        now = watch.retry_at
        watch.look(now)
        assert part.alive
    assert len(part.starts) == 5
    assert pauses[0] <= 0.5
    assert pauses[-1] >= 4.0


def test_a_part_that_cannot_start_is_tried_again() -> None:
    part = FakePart(alive=False, start_error=TransientError("the port lingers"))
    watch = Watch(part, started_at=0)
    watch.look(1)
    watch.look(10)
    assert part.starts == []
    assert watch.retry_at is not None
    assert watch.retry_at > 10
    part.start_error = None
    watch.look(watch.retry_at)
    assert part.alive


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), ConfigError("port taken")])
def test_nothing_that_fails_about_a_part_ends_the_supervisor(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form="json")
    part = FakePart(alive=False, start_error=error)
    watch, now = Watch(part, started_at=0), 1.0
    for _ in range(4):
        watch.look(now)
        assert watch.retry_at is not None
        now = watch.retry_at
    assert str(error) in capsys.readouterr().err
    part.start_error = None
    watch.look(now)
    assert part.alive


def test_a_part_whose_pid_cannot_be_noted_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(pid_file: Path, pid: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(children, "remember", full)
    child = Child(Program("part", ("/bin/sleep", "300"), tmp_path / "part.log", tmp_path))
    try:
        assert child.running()
    finally:
        child.kill()


def test_wrong_settings_of_a_part_stop_the_platform() -> None:
    with pytest.raises(ConfigError, match=r"logs/part\.log"):
        Watch(FakePart(alive=False, code=2)).look(0)


def test_a_taken_port_names_its_setting_and_a_free_one_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"{taken}.*RTP_KAFKA_PORT"):
            ports.require_free(taken, "RTP_KAFKA_PORT", "Kafka")
    ports.require_free(ports.free_port(), "RTP_KAFKA_PORT", "Kafka")


def test_a_password_is_made_once_and_is_its_owners_only(tmp_path: Path) -> None:
    first = passwords.ensure(tmp_path, "role")
    assert passwords.ensure(tmp_path, "role") == first
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "secrets" / "role").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["role"]


def test_a_home_is_held_by_one_platform_at_a_time(tmp_path: Path) -> None:
    with home_locked(tmp_path), pytest.raises(ConfigError, match="RTP_HOME"), home_locked(tmp_path):
        pass
    with home_locked(tmp_path):
        pass


def test_a_pid_that_another_process_has_now_is_not_taken_for_ours(tmp_path: Path) -> None:
    note = tmp_path / "part.pid"
    remember(note, 1)
    assert remembered(note) is not None
    note.write_text("1 12345.0\n")
    assert remembered(note) is None
    note.write_text("")
    assert remembered(note) is None


def test_what_a_killed_program_had_started_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    script = "sleep 300 & echo $! > started; exec sleep 300"
    program = Program("part", ("/bin/sh", "-c", script), tmp_path / "part.log", tmp_path, cwd=tmp_path)
    program = replace(program, env={**os.environ, "RTP_HOME": str(tmp_path)})
    child = Child(program)
    started = wait_until(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text(), what="a pid")
    left = psutil.Process(int(started))
    child.process.kill()
    child.process.wait()
    assert left.is_running()
    assert end_orphan(program, 1)
    assert psutil.wait_procs([left], timeout=25)[0] == [left]


def test_a_group_of_somebody_else_with_that_number_is_left_alone(tmp_path: Path) -> None:
    program = Program("part", ("/bin/sleep", "300"), tmp_path / "part.log", tmp_path)
    foreign = Child(replace(program, env={**os.environ, "RTP_HOME": "/somewhere/else"}))
    try:
        program.pid_file.write_text(f"{foreign.pid} 12345.0\n")
        end_orphan(program, 1)
        assert foreign.running()
    finally:
        foreign.kill()


def test_a_socket_path_is_short_enough_wherever_the_home_is(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder"] * 20)
    for home in (tmp_path, deep):
        path = socket_path(home)
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
