"""The ``rtp`` command: exit codes, help that imports nothing, settings that the example names truly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import click
import pytest

from rtp_workers.cli import main
from rtp_workers.cli.up import interruptible
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.local.own_exports import exports
from rtp_workers.settings import PlatformSettings, known_names, load

ROOT = Path(__file__).parents[2]


def failing_with(error: BaseException) -> click.Command:
    @click.command("status")
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("set RTP_X"), 2),
        (TransientError("Kafka is away"), 1),
        (KeyboardInterrupt(), 130),
        (click.UsageError("no such option"), 2),
    ],
)
def test_the_exit_code_tells_the_kind_of_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: failing_with(error))
    assert main.run_command(["status"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    if isinstance(error, ConfigError):
        assert said.err == "error: set RTP_X\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "april.csv"), "No such file or directory: april.csv"),
        (OSError("the pipe is broken"), "the pipe is broken"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_of_the_system_is_never_told_as_an_empty_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: failing_with(error))
    assert main.run_command(["status"]) == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_help_names_every_subcommand_without_importing_one() -> None:
    script = (
        "import sys; from rtp_workers.cli import main; main.run_command(['--help']); "
        "assert not {'confluent_kafka', 'psycopg2', 'fastapi', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in main.SUBCOMMANDS)


def test_the_example_settings_are_settings() -> None:
    named = set(re.findall(r"^#?(RTP_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {"RTP_HOME", "RTP_KAFKA_PORT", "RTP_POSTGRES_DSN"} <= named
    assert named <= known_names()


def test_exported_names_are_settings_too() -> None:
    everything = Endpoints("k:1", {"sasl.password": "it's"}, *(f"postgresql://{role}" for role in "oirsd"), *"pcda")
    names = exports(load(PlatformSettings), everything)
    assert len(names) == 15
    assert {name for name in names if name.startswith("RTP_")} <= known_names()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_still_told() -> None:
    """What is raised in a weak reference's callback goes nowhere, and the signal may come just then."""

    class Thing:
        pass

    thing = Thing()
    with interruptible() as asked:
        watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del thing
        assert watched() is None
        assert asked()
