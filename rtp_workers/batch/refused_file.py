"""Refused rows as a CSV of their own: line, reason, detail, row.

The list may be opened in a spreadsheet, where a cell that starts with ``=`` becomes a formula. A ``'`` goes in front of
such a cell, as the usual advice against CSV injection says; `raw_row` takes it off again. A spreadsheet set to another
language splits the list at semicolons, so each cell of a refused row is treated as if it stood at the start.
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
_NUMBER = r"[+-]\d[\d.]*(?=[,;|\t\r\n\"]|$)"  # inside a row, an amount such as -5.00 is no formula
_FORMULA = re.compile(rf"\A(?={_FORMULA_START})|{_CELL_START}(?!{_NUMBER})(?={_FORMULA_START})")
_MARK = re.compile(rf"{_CELL_START}'(?={_FORMULA_START})")
_UNSAFE = re.compile(r"[^\w.-]+")


def harmless(text: str) -> str:
    """Returns a text in which no spreadsheet finds a formula; `raw_row` gives the text back."""
    return _FORMULA.sub("'", text)


def raw_row(listed: str) -> str:
    """Turns a row of the list back into what the file holds."""
    return _MARK.sub("", listed)


def safe_name(file_name: str) -> str:
    """Returns a file's name as the name of its list begins with it."""
    return _UNSAFE.sub("_", file_name)[-100:] or "file"


def list_name(file_name: str, identity: str) -> str:
    """Returns the name of the list of a load's refused rows."""
    return f"{safe_name(file_name)}.{identity}.csv"


class RefusedFile:
    """Appends refused rows; made when the first comes. The rows of a load that resumes are listed once.

    Attributes:
        path: the file, which need not exist.
        size_bytes: its length with all rows added so far.
    """

    def __init__(
        self, folder: Path, file_name: str, identity: str, size_bytes: int = 0, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        """Cuts the file to `size_bytes`: what a killed load had added beyond its progress comes again."""
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
        """Returns where the refused rows of a load are listed, if there are any."""
        # Under the name that the file had when the load began: it may have been renamed since.
        listed = sorted(folder.glob(f"*.{identity}.csv"))
        return listed[0] if listed else folder / list_name(file_name, identity)

    def add(self, rows: Iterable[RefusedRow]) -> None:
        """Appends rows, unless the list is full; they are on disk after `sync`."""
        if self.size_bytes >= self._max_bytes:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # a bare CR is not quoted else
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
        """Makes what was added durable."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; what was added is written, if not durable."""
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
