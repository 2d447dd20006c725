"""``rtp load`` as a process: killed at any moment and run again, run twice, fed from stdin, in constant memory."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from rtp_workers.batch import reading_process
from tests.conftest import Stack, StartRtp
from tests.csv_files import canonical_text, settle, write_settled
from tests.programs import run_rtp
from tests.reading import assert_balanced, query, wait_for_ledger
from tests.waiting import wait_until

ROWS = 120_000
LOADER_CAP_BYTES = 250_000_000
BY_TWO_PROCESSES = {"RTP_LOADER_PROCESS_BYTES": "0"}


def load(stack: Stack, *arguments: str, stdin: str | None = None, **env: str) -> dict[str, Any]:
    """Runs ``rtp load --json`` to its end and returns the report of its only file."""
    done = run_rtp("load", "--json", *arguments, env={**stack.env, **env}, stdin=stdin, timeout_s=200)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)["files"][0]
    return report


def consume_all(stack: Stack, start_rtp: StartRtp) -> dict[str, Any]:
    """Runs the consumer until the ledger has reached the end of the topic; returns counts and sums of the table."""
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack, timeout_s=200)
    consumer.signal(signal.SIGTERM)
    assert_balanced(stack)
    return query(
        stack,
        "select count(*) as rows, count(distinct transaction_id) as ids, sum(amount) as sum, "
        "(select count(*) from dead_letters) as dead_letters from transactions",
    )[0]


def expected_sum(rows: int) -> Any:
    return sum(100 * (number % 1000) + number % 100 for number in range(rows))


@pytest.mark.parametrize("place", ["load_saved", "load_chunk_sent:6", "load_acknowledged"])
def test_a_load_killed_and_run_again_leaves_exactly_the_files_rows(
    stack: Stack, start_rtp: StartRtp, tmp_path: Path, place: str
) -> None:
    path = write_settled(tmp_path / "big.csv", canonical_text(range(ROWS)) + "one,bad,row\n")
    killed = start_rtp("load", str(path), env={**stack.env, **BY_TWO_PROCESSES, "RTP_FAILPOINT": place})
    wait_until(lambda: not killed.running(), timeout_s=120, what=f"the load to die at {place}")
    assert killed.process.returncode == -signal.SIGKILL, killed.output()
    wait_until(lambda: not reading_processes(stack), what="the end of the process that reads for it")
    report = load(stack, str(path), **BY_TWO_PROCESSES)
    assert (report["rows_read"], report["acknowledged"], report["refused"]) == (ROWS + 1, ROWS, 1)
    with Path(report["refused_file"]).open(newline="") as listed:
        assert [row[0] for row in csv.reader(listed)] == ["line", str(ROWS + 2)]
    found = consume_all(stack, start_rtp)
    assert (found["rows"], found["ids"], found["dead_letters"]) == (ROWS, ROWS, 0)
    assert found["sum"] * 100 == expected_sum(ROWS)


def reading_processes(stack: Stack) -> list[psutil.Process]:
    """Returns the processes that read a file for a loader of this stack."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RTP_HOME") == str(stack.home) and reading_process.__name__ in process.cmdline():
                found.append(process)
    return found


def test_a_load_whose_reading_process_is_killed_says_so_and_the_next_one_goes_on(
    stack: Stack, start_rtp: StartRtp, tmp_path: Path
) -> None:
    path = write_settled(tmp_path / "big.csv", canonical_text(range(ROWS)))
    env = {**stack.env, **BY_TWO_PROCESSES}
    loader = start_rtp("load", str(path), env={**env, "RTP_FAILPOINT": "load_saved=stop"})
    wait_until(loader.stopped, timeout_s=60, what="the loader to stop in the middle")
    (reading,) = reading_processes(stack)
    reading.kill()
    loader.signal(signal.SIGCONT)
    wait_until(lambda: not loader.running(), timeout_s=120, what="the end of the loader")
    assert loader.process.returncode == 1
    assert "big.csv: the process that reads it ended with code -9" in loader.output()
    report = load(stack, str(path), **BY_TWO_PROCESSES)
    assert 0 < report["resumed_rows"] < ROWS
    found = consume_all(stack, start_rtp)
    assert (found["rows"], found["ids"], found["dead_letters"]) == (ROWS, ROWS, 0)


def test_a_finished_file_is_not_sent_again(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(1000)))
    assert load(stack, str(path))["resumed_rows"] == 0
    assert load(stack, str(path))["resumed_rows"] == 1000


def test_a_second_loader_of_the_same_file_says_so(stack: Stack, start_rtp: StartRtp, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "big.csv", canonical_text(range(ROWS)))
    first = start_rtp("load", str(path), env={**stack.env, "RTP_FAILPOINT": "load_chunk_sent=stop"})
    wait_until(first.stopped, timeout_s=60, what="the first to stop")
    second = run_rtp("load", str(path), env=stack.env)
    assert second.returncode == 1
    assert "another process is loading this file" in second.stderr
    first.signal(signal.SIGCONT)
    wait_until(lambda: not first.running(), timeout_s=120, what="the first to finish")
    assert first.process.returncode == 0, first.output()


def test_stdin_is_loaded(stack: Stack) -> None:
    assert load(stack, "-", stdin=canonical_text(range(50)))["acknowledged"] == 50


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder", "empty", "header only"])
def test_what_is_no_csv_is_a_clear_error(stack: Stack, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.csv"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        write_settled(path, "" if kind == "empty" else canonical_text([]))
    done = run_rtp("load", str(path), env=stack.env)
    assert done.returncode == 2, done.stderr
    assert "a.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_memory_does_not_grow_with_the_file(stack: Stack, start_rtp: StartRtp, tmp_path: Path) -> None:
    peaks = []
    for times in (1, 10):
        path = tmp_path / f"{times}.csv"
        with path.open("w") as file:
            file.write(canonical_text(range(0)))
            for part in range(times):
                file.write(canonical_text(range(part * 40_000, (part + 1) * 40_000), header=False))
        peaks.append(_peak_bytes(start_rtp, stack, settle(path)))
    assert peaks[1] < LOADER_CAP_BYTES
    assert peaks[1] < peaks[0] + 60_000_000


def _peak_bytes(start_rtp: StartRtp, stack: Stack, path: Path) -> int:
    program = start_rtp("load", str(path), env={**stack.env, **BY_TWO_PROCESSES})
    process, peak = psutil.Process(program.pid), 0
    while program.running():
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
            process.wait(0.05)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            break
    assert program.process.wait() == 0, program.output()
    return peak
