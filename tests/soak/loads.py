"""CSV files loaded during a soak, each killed on its way and run again until it is whole."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tests.csv_files import canonical_row, canonical_text, write_settled
from tests.programs import RunningProgram, start_program

ID, AMOUNT = 0, 2  # columns of a canonical row
NUMBERS_PER_FILE = 100_000
REFUSED = "one,bad,row\n"
BLOCK_BYTES = "16384"  # some hundred rows: a file is many chunks
AGAIN_AFTER_S = 5.0  # the start of a run takes a second of CPU time
# After a fault, dozens of files wait to be loaded. All at once, they would take every connection of PostgreSQL.
MOST_AT_ONCE = 12
FAILED = 1  # a dependency was away, says the command line: to be run again
TAIL = 1_000


@dataclass
class Load:
    """One file, and the run of ``rtp load`` that is under way."""

    path: Path
    numbers: range
    program: RunningProgram | None = None
    again_at: float = 0.0
    whole: bool = False


class Loads:
    """Loads files, is killed as told, and runs each again until it says that the file is whole. Call `watch` often.

    Attributes:
        problems: runs that ended as no run should.
        runs: how many there were.
    """

    def __init__(self, env: Mapping[str, str], data: Path, logs: Path) -> None:
        self.problems: list[str] = []
        self.runs = 0
        self._env = {**env, "RTP_LOADER_BLOCK_BYTES": BLOCK_BYTES}
        self._data = data
        self._logs = logs
        self._loads: list[Load] = []

    def begin(self, rows: int, failpoint: str) -> None:
        """Loads another file, of so many valid rows and two lines that are none.

        The first row is another in each file: the loader takes files that begin alike for one that has grown.
        """
        first = len(self._loads) * NUMBERS_PER_FILE
        numbers = range(first, first + rows)
        start, rest = canonical_text(numbers[:1]), canonical_text(numbers[1:], header=False)
        path = write_settled(self._data / f"{len(self._loads)}.csv", f"{start}{REFUSED}{rest}{REFUSED}")
        self._loads.append(Load(path, numbers))
        self._run(self._loads[-1], failpoint)

    def kill(self) -> None:
        """SIGKILL to every run that is under way."""
        for load in self._loads:
            if load.program is not None and load.program.running():
                load.program.kill()

    def watch(self) -> None:
        """Notes endings, and runs again what is not whole, a few files at a time."""
        for load in self._loads:
            if load.program is not None and not load.program.running():
                self._note_ending(load, load.program)
        room = MOST_AT_ONCE - sum(load.program is not None for load in self._loads)
        now = time.monotonic()
        due = [load for load in self._loads if load.program is None and not load.whole and now >= load.again_at]
        for load in sorted(due, key=lambda load: load.again_at)[: max(room, 0)]:
            self._run(load)

    def whole(self) -> bool:
        """Tells whether every file is loaded."""
        return all(load.whole for load in self._loads)

    def amounts(self) -> dict[str, Decimal]:
        """Returns transaction_id -> amount of every valid row of every file."""
        rows = (canonical_row(number) for load in self._loads for number in load.numbers)
        return {row[ID]: Decimal(row[AMOUNT]) for row in rows}

    def _run(self, load: Load, failpoint: str = "") -> None:
        self.runs += 1
        log = self._logs / f"{self.runs:04d}-load-{load.path.stem}.log"
        env = {**self._env, "RTP_FAILPOINT": failpoint} if failpoint else self._env
        load.program = start_program("load", str(load.path), env=env, log=log)

    def _note_ending(self, load: Load, program: RunningProgram) -> None:
        code = program.process.returncode
        load.program, load.whole = None, code == 0
        load.again_at = time.monotonic() + AGAIN_AFTER_S
        if code not in (0, FAILED, -signal.SIGKILL):
            self.problems.append(f"{program.log.name} ended with exit code {code}:\n{program.output()[-TAIL:]}")
