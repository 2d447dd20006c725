"""What a terminal gets: sentences, and no control character of somebody else's."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from rich.progress import Progress, TextColumn
from rich.table import Table

from rtp_workers import logs
from rtp_workers.cli import main, terminal
from rtp_workers.printable import printable
from tests.programs import clean_env, run_rtp

HOSTILE = "in\x1b[2J\x9b31m\x07\r\n\u202emoc.\u2066x\u2069\u200e\udcff\x7f\u2028\U000e0041"
SHOWN = r"in\x1b[2J\x9b31m\x07\r\n\u202emoc.\u2066x\u2069\u200e\udcff\x7f\u2028\U000e0041"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def test_what_a_terminal_would_act_on_is_escaped_and_letters_stay() -> None:
    assert printable(HOSTILE) == SHOWN
    for text in ("Bäckerei 東京 (½)", "می\u200cخواهم", "👩\u200d👩\u200d👧", "❤️\u200d🔥", "12\u00a0000", "\\x1b"):
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]8;;http://evil.example\x07Shop\x1b]8;;\x07", r"\x1b]8;;http://evil.example\x07Shop\x1b]8;;\x07"),
        ("\x9d0;title\x9c\x90q\x9c", r"\x9d0;title\x9c\x90q\x9c"),
        ("pay\u200bpal\ufeff\u2060", r"pay\u200bpal\ufeff\u2060"),
        ("a\u200db\u200cc", r"a\u200db\u200cc"),
        ("\u2066x\u2069\u202dy\u202c\u061c", r"\u2066x\u2069\u202dy\u202c\u061c"),
        ("\x08\x0b\x0c\x0e\x85\xad", r"\x08\x0b\x0c\x0e\x85\xad"),
    ],
    ids=["link", "C1", "zero width", "joiners between Latin letters", "isolates", "controls"],
)
def test_what_hides_or_reorders_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_sentence_keeps_its_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say("first\nsecond\x1b[31m")
    assert capsys.readouterr().out == "first\nsecond\\x1b[31m\n"


def test_tables_and_progress_bars_show_cells_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written_bytes = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written_bytes, encoding="utf-8", errors="backslashreplace"))
    screen = terminal.console()
    screen.width = 200
    table = Table("name", title=HOSTILE)
    table.add_row(HOSTILE.replace("[", r"\["))
    screen.print(table)
    screen.print(HOSTILE.replace("[", r"\["))
    with Progress(TextColumn("{task.description}"), console=screen) as bar:
        bar.add_task(HOSTILE.replace("[", r"\["), total=1)
    sys.stdout.flush()
    written = written_bytes.getvalue().decode()
    assert r"\x1b[2J\x9b31m" in written
    assert not set(written) & set("\x1b\x9b\x07\u202e\u2066\x7f")


def test_a_commands_error_is_shown_escaped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command(["load", "--dry-run", "gone\x1b]0;owned\x07.csv"]) != 0
    said = capsys.readouterr().err
    assert r"\x1b]0;owned\x07.csv" in said
    assert "\x1b" not in said


def log_of(capsys: pytest.CaptureFixture[str]) -> str:
    log = logs.get("rtp.test")
    log.info("load_started", file="a.csv")
    log.warning("topic_differs", topic="t\x1b[31m", remedy="rtp topics --alter")
    logging.getLogger("other").error("a library's line")
    said = capsys.readouterr()
    return said.out + said.err


def test_a_command_logs_sentences_and_only_what_is_amiss(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    assert log_of(capsys) == (
        "warning: topic differs: topic t\\x1b[31m, remedy rtp topics --alter\nerror: a library's line\n"
    )


def test_a_command_logs_json_where_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(form="json")
    lines = [json.loads(line) for line in log_of(capsys).splitlines()]
    assert [line["event"] for line in lines] == ["load_started", "topic_differs", "a library's line"]


def test_a_service_logs_json_where_its_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("stdout")
    lines = [json.loads(line) for line in log_of(capsys).splitlines()]
    assert [line["event"] for line in lines] == ["load_started", "topic_differs", "a library's line"]


def test_an_exception_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError("no\x1b[2J")
    except ValueError:
        logs.get("rtp.test").exception("failed", path="/x")
    said = capsys.readouterr().err
    assert said.startswith("error: failed: path /x\nTraceback")
    assert r"ValueError: no\x1b[2J" in said


@pytest.mark.parametrize("arguments", [("--log-format", "json", "env"), ("env", "--log-format", "json")])
def test_the_log_format_is_an_option_before_and_after_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RTP_HOME", str(tmp_path))
    monkeypatch.delenv("RTP_LOG_FORMAT", raising=False)
    assert main.run_command(list(arguments)) == 2
    assert os.environ["RTP_LOG_FORMAT"] == "json"


def test_the_log_level_and_format_of_an_env_file_are_in_force(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RTP_LOG_LEVEL=DEBUG\nRTP_LOG_FORMAT=json\n")
    script = "import logging; from rtp_workers.cli import main; main.configure_logs(); logging.debug('seen')"
    done = run_python(script, tmp_path)
    assert json.loads(done)["event"] == "seen"


def run_python(script: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=clean_env(), capture_output=True, text=True, check=True
    )
    return done.stderr


def test_a_terminal_of_another_encoding_ends_no_command(tmp_path: Path) -> None:
    env = clean_env(RTP_HOME=str(tmp_path), PYTHONIOENCODING="ascii", LC_ALL="C", LANG="C")
    done = run_rtp("load", "Zürich.csv", env=env)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
