"""``python -m tests.soak --seed 1 --minutes 5``: faults at random, mixed, while records flow; the end must be exact.

The schedule is drawn from the seed before anything starts (`schedule.py`), so a seed that failed is tried again by
the same command; how the processes interleave is the machine's affair. Exit 0: at the end, with everything healed,
Kafka's log, PostgreSQL and all who sent agree on every offset (`model.py`), and the ledger balanced in every snapshot
taken meanwhile. Exit 1: it says what differs, and leaves the logs and data of everything that ran.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rtp_workers.errors import RtpError
from rtp_workers.kafka.topics import log_offsets
from tests.conftest import Stack, new_folder, stack_on
from tests.faulty_servers import faulty_servers
from tests.programs import run_rtp
from tests.reading import ledger_sums, messages, query
from tests.soak.model import Letter, Log, Row, Senders, Stored, compare
from tests.soak.scene import ACTIONS, Scene, set_up
from tests.soak.schedule import Event, schedule

TICK_S = 0.1


class SoakError(Exception):
    """Something differs; the message says what."""


def main() -> int:
    """Runs the soak; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="same seed and minutes, same schedule (default 1)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long things break (default 5)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    try:
        with _folder(f"make soak SEED={given.seed} MINUTES={given.minutes:g}") as folder:
            _soak(given.seed, given.minutes * 60, folder)
    except (SoakError, AssertionError, RtpError) as error:
        print(error)
        return 1
    print("everything agrees")
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def _folder(command: str) -> Iterator[Path]:
    """A folder for everything, removed at the end of a soak that went well."""
    folder, well = new_folder(), False
    try:
        yield folder
        well = True
    finally:
        if not well:
            print(f"\nSOAK FAILED. Again: {command}\nLogs and data: {folder}", flush=True)
    shutil.rmtree(folder)


def _soak(seed: int, seconds: float, folder: Path) -> None:
    home, logs = folder / "home", folder / "programs"
    home.mkdir(mode=0o755)
    with (
        faulty_servers(folder / "servers") as servers,
        stack_on(servers.pair, home) as stack,
        set_up(servers, stack, seed, logs) as scene,
    ):
        _run(scene, schedule(seed, seconds), seconds)
        _judge(scene, logs)


def _run(scene: Scene, events: list[Event], seconds: float) -> None:
    """Does what the schedule says, when it says so, or as soon as the action before it is done."""
    started = time.monotonic()
    for event in events:
        _watch_until(scene, started + event.second)
        late_s = time.monotonic() - started - event.second
        print(event, f"[{late_s:.1f} s late]" if late_s > 1 else "", flush=True)
        ACTIONS[event.action](scene, event.parameters)
    _watch_until(scene, started + seconds)
    print(f"{time.monotonic() - started:6.1f} s  everything healed", flush=True)
    scene.heal()
    print(f"{time.monotonic() - started:6.1f} s  everything sent is in the ledger, every consumer has stopped")


def _watch_until(scene: Scene, until: float) -> None:
    while True:
        scene.watch()
        left_s = until - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(left_s, TICK_S))


def _judge(scene: Scene, logs: Path) -> None:
    """Compares everything and prints the figures.

    Raises:
        SoakError: something differs.
    """
    stack = scene.stack
    ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items()}
    log = Log(
        {(each.partition(), each.offset()): each.value() for each in messages(stack.endpoints, stack.topic)}, ends
    )
    upstream = scene.upstream
    senders = Senders(scene.feed.accepted, scene.loads.amounts(), upstream.committed, upstream.aborted)
    stored = _stored(stack)
    verified = run_rtp("verify", "--json", env=stack.env)
    problems = [
        *compare(log, senders, stored),
        *scene.consumers.problems,
        *scene.loads.problems,
        *(f"unbalanced: {found}" for found in scene.reader.unbalanced[:3]),
        *(f"{path} has a Traceback" for path in sorted(logs.iterdir()) if "Traceback" in path.read_text()),
        *([] if verified.returncode == 0 else [f"rtp verify disagrees: {verified.stdout}{verified.stderr}"]),
    ]
    _print_figures(scene, log, stored)
    if problems:
        raise SoakError("\n".join(problems))


def _stored(stack: Stack) -> Stored:
    rows = query(stack, "select transaction_id, amount, kafka_partition, kafka_offset from transactions")
    letters = query(stack, "select kafka_partition, kafka_offset, value, reason from dead_letters")
    ends = query(stack, "select kafka_partition, next_offset from ingest_ledger")
    return Stored(
        [Row(each["transaction_id"], each["amount"], _at(each)) for each in rows],
        [Letter(_at(each), _bytes(each["value"]), each["reason"]) for each in letters],
        ledger_sums(stack),
        {each["kafka_partition"]: each["next_offset"] for each in ends},
    )


def _at(row: dict[str, Any]) -> tuple[int, int]:
    return row["kafka_partition"], row["kafka_offset"]


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def _print_figures(scene: Scene, log: Log, stored: Stored) -> None:
    figures = {
        "records sent by the feed": scene.feed.sent,
        "acknowledged": len(scene.feed.accepted),
        "rows of CSV files": len(scene.loads.amounts()),
        "runs of rtp load": scene.loads.runs,
        "transactions of unknown outcome": scene.upstream.unknown,
        "records in Kafka": len(log.values),
        **stored.sums,
        "sum(amount)": sum(row.amount for row in stored.rows),
        "starts of a consumer": scene.consumers.starts,
        "deaths at a failpoint": scene.consumers.died_at_failpoints,
        "consumers frozen and continued": scene.consumers.sleeps,
        "most memory of a consumer (MB)": scene.consumers.peak_rss_bytes // 1_000_000,
        "snapshots of the ledger": scene.reader.looks,
    }
    for name, figure in figures.items():
        print(f"{name:>32} {figure:>16,}")


if __name__ == "__main__":
    sys.exit(main())
