"""What a person sees in a terminal: progress and sentences, and JSON lines only where they are asked for."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
from collections.abc import Mapping

import pytest

from tests.conftest import Stack
from tests.csv_files import canonical_text, write_settled
from tests.programs import RTP


def in_a_terminal(*arguments: str, env: Mapping[str, str]) -> list[str]:
    """Runs ``rtp arguments`` with all its output on a terminal, and returns the lines."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RTP, *arguments], env=dict(env), cwd=env["RTP_HOME"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError as error:
        if error.errno != errno.EIO:  # the terminal's end, on Linux
            raise
    finally:
        os.close(ours)
    assert process.wait(120) == 0, b"".join(parts)
    return b"".join(parts).decode().splitlines()


def json_lines(lines: list[str]) -> list[dict[str, object]]:
    return [json.loads(line[line.index("{") :]) for line in lines if '{"' in line]


@pytest.mark.parametrize("command", [("load", "a.csv"), ("status",), ("topics",), ("verify", "--timeout", "60s")])
def test_a_command_prints_no_json_on_a_terminal(stack: Stack, command: tuple[str, ...]) -> None:
    write_settled(stack.home / "a.csv", canonical_text(range(20)))
    if command[0] == "verify":
        in_a_terminal("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    lines = in_a_terminal(*command, env=stack.env)
    assert lines
    assert json_lines(lines) == []


def test_the_log_is_json_where_it_is_asked_for(stack: Stack) -> None:
    write_settled(stack.home / "a.csv", canonical_text(range(20)))
    lines = in_a_terminal("load", "a.csv", "--log-format", "json", env=stack.env)
    assert {line["event"] for line in json_lines(lines)} >= {"load_started", "load_finished"}
