"""Writes refused rows to a separate CSV: line, reason, detail, row.

Somebody may open this list in a spreadsheet, where a cell that starts with ``=`` becomes a formula. Such a cell gets a
``'`` in front, the usual protection against CSV injection; `raw_row` removes it again. In some languages a spreadsheet
splits the list at semicolons. So every cell inside a refused row is protected as if it began a cell of the list.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from rtp_workers.batch.rows import RefusedRow

FOLDER = "refused"
HEADER = ("line", "reason", "detail", "row")
DEFAULT_MAX_BYTES = 16_000_000
LIST_FULL = "list_full"
_CELL_START = r"(?:^|(?<=[,;|\t\r\n\"]))"
_FORMULA_START = r"[=+\-@\t\r\n'＝＋－＠]"
_NUMBER = r"[+-]\d[\d.]*(?=[,;|\t\r\n\"]|$)"  # inside a row, an amount such as -5.00 is not a formula
_FORMULA = re.compile(rf"\A(?={_FORMULA_START})|{_CELL_START}(?!{_NUMBER})(?={_FORMULA_START})")
_MARK = re.compile(rf"{_CELL_START}'(?={_FORMULA_START})")
_UNSAFE = re.compile(r"[^\w.-]+")


def harmless(text: str) -> str:
    """Returns the text in a form in which no spreadsheet finds a formula. `raw_row` reverses it."""
    return _FORMULA.sub("'", text)


def raw_row(listed: str) -> str:
    """Turns a row of the list back into the file's own text."""
    return _MARK.sub("", listed)


def safe_name(file_name: str) -> str:
    """Returns a file's name in its safe form, with which the name of its list begins."""
    return _UNSAFE.sub("_", file_name)[-100:] or "file"


def list_name(file_name: str, identity: str) -> str:
    """Returns the name of the list with a load's refused rows."""
    return f"{safe_name(file_name)}.{identity}.csv"


class RefusedFile:
    """Appends refused rows. The file is created with the first row. If a load resumes, each row is still listed once.

    Attributes:
        path: the file. It need not exist.
        size_bytes: its length with all rows added so far.
    """

    def __init__(
        self, folder: Path, file_name: str, identity: str, size_bytes: int = 0, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        """Cuts the file to `size_bytes`. Rows that a killed load had added beyond its progress are added again."""
        self.path = self.path_of(folder, file_name, identity)
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        if self.path.exists():
            kept = min(size_bytes, self.path.stat().st_size)
            os.truncate(self.path, kept)
            self.size_bytes = kept

    @staticmethod
    def path_of(folder: Path, file_name: str, identity: str) -> Path:
        """Returns the path of the list for a load's refused rows. The list exists only if there are such rows."""
        # Under the name that the file had when the load began: the file may have been renamed since.
        listed = sorted(folder.glob(f"*.{identity}.csv"))
        return listed[0] if listed else folder / list_name(file_name, identity)

    def add(self, rows: Iterable[RefusedRow]) -> None:
        """Appends rows, unless the list is full. They are durable after `sync`."""
        if self.size_bytes >= self._max_bytes:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # else a bare CR is not quoted
        if not self.size_bytes:
            writer.writerow(HEADER)
        for row in rows:
            writer.writerow((row.line, row.reason, harmless(row.detail), harmless(row.raw)))
            if self.size_bytes + text.tell() >= self._max_bytes:
                limit = (
                    f"later refused rows are counted, but not listed: RTP_LOADER_REFUSED_BYTES is {self._max_bytes:,}"
                )
                writer.writerow((row.line, LIST_FULL, limit, ""))
                break
        data = text.getvalue().encode("utf-8", "replace")
        self._opened().write(data)
        self.size_bytes += len(data)

    def sync(self) -> None:
        """Makes the added rows durable."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file. The added rows are written, but not necessarily durable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(
                os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab"
            )
        return self._file
