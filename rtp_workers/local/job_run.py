"""Programs that run to their end: a Dagster job without webserver or daemon, and others that a demo waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rtp_workers.errors import FatalError
from rtp_workers.local.parts import ProgramPart

LOOK_S = 0.2
DAGSTER_GRACE_S = 15.0  # a cancelled backfill stores what Kafka has acknowledged


def dagster_job(home: Path, dagster_home: Path, job: str) -> ProgramPart:
    """Returns a run of one of our jobs, in its own process, recorded in the instance of `dagster_home`.

    It bypasses the daemon's queue, so nothing else needs to run.
    """
    return ProgramPart(
        f"dagster-{job}",
        (sys.executable, "-m", "dagster", "job", "execute", "-m", "rtp_dagster.definitions", "-j", job),
        home,
        {"DAGSTER_HOME": str(dagster_home)},
        grace_s=DAGSTER_GRACE_S,
    )


def run_to_end(part: ProgramPart, needed: ProgramPart, look: Callable[[], None]) -> tuple[int, bytes]:
    """Runs `part` to its end and returns its exit code and its output.

    Args:
        part: not started yet; it is also stopped if something is raised.
        needed: it is running; without it `part` would wait forever.
        look: called every `LOOK_S` seconds.

    Raises:
        FatalError: `needed` has ended.
    """
    part.prepare()
    part.start()
    try:
        child = part.child
        assert child is not None  # it was just started
        while child.running():
            if not needed.running():
                raise FatalError(f"the {needed.name} ended with code {needed.exit_code()}; see {needed.program.log}")
            look()
            time.sleep(LOOK_S)
        return child.process.returncode, child.new_log()
    finally:
        part.stop()
