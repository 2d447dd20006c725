"""Ids for rows without one, made of the source's name, the row's cells and its number among identical rows.

An export that is loaded again, renamed, or longer than before gets the same ids. Two identical purchases get two ids.

Ids begin with the row's day, as its cell writes it. So rows of one day are neighbours in the primary key, and a load
changes few of its pages, however large the table is. How the day is read makes no difference: a corrected mapping must
not change the ids of stored rows.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
MEMORY_ROWS = 100_000
MERGE_RUNS = 8
MERGE_SLICES = 64
SEPARATOR = "\x1f"
PADDING = SEPARATOR + " \t"
DAY_DIGITS = 8
DAYS_KEPT = 10_000
_EPOCH = re.compile(r"[0-9]{10,}(?:\.[0-9]*)?")  # seconds since 1970, or parts of one
EPOCH_DAY_DIGITS = 5  # its first digits, which change about once a day
_YEAR_FIRST = re.compile(r"([12][0-9]{3})[-/.]?([01][0-9])[-/.]?([0-3][0-9])(?:(?![0-9])|(?=[0-9]{6}$))")
_CLOCK = re.compile(
    r"(?:^|[T ,]+)[0-9]{1,2}(?:[:hH][0-9]{2}(?::[0-9]{2})?|\.[0-9]{2}(?:\.[0-9]{2})?(?![0-9./-]))(?:[.,][0-9]+)?"
    r"\s*(?:[AaPp]\.?[Mm]\.?)?\s*(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]


class OccurrenceCounter:
    """Counts identical rows in bounded memory: at most MEMORY_ROWS keys. The others are in sorted files on disk.

    A key is 64 bits of a row's digest. If two different rows share a key, they only raise each other's number, in the
    same way at every load; their ids still differ, because ids use the whole digest.

    Args:
        folder: where counts may be spilled. If needed, a new folder is created in it, and `close` removes that.
    """

    def __init__(self, folder: Path, memory_rows: int = MEMORY_ROWS) -> None:
        self._parent = folder
        self._folder: Path | None = None
        self._memory_rows = memory_rows
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[int, Path]] = []
        self._open: dict[Path, tuple[Keys, Counts]] = {}
        self._made = 0

    @classmethod
    def in_memory(cls) -> OccurrenceCounter:
        """Returns a counter for a sample, which never spills."""
        return cls(Path(), memory_rows=2**62)

    def number(self, keys: Keys) -> list[int]:
        """Counts the rows, and returns for each row how many rows with its key came before it, plus one."""
        before = self._on_disk(keys)
        recent = self._recent
        numbers: list[int] = []
        for key, earlier in zip(keys.tolist(), before.tolist(), strict=True):
            count = recent.get(key, 0) + 1
            recent[key] = count
            numbers.append(count + earlier)
        if len(recent) >= self._memory_rows:
            self._spill()
        return numbers

    def close(self) -> None:
        """Removes the spilled counts. They are rebuilt by reading the file's earlier rows again."""
        self._open.clear()
        self._runs.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> OccurrenceCounter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _on_disk(self, keys: Keys) -> Counts:
        found = np.zeros(len(keys), dtype=np.int64)
        for _, path in self._runs:
            run_keys, run_counts = self._open[path]
            at = np.searchsorted(run_keys, keys)
            at[at == len(run_keys)] = 0
            found += np.where(run_keys[at] == keys, run_counts[at], 0)
        return found

    def _spill(self) -> None:
        keys = np.fromiter(self._recent.keys(), dtype=np.uint64, count=len(self._recent))
        counts = np.fromiter(self._recent.values(), dtype=np.int64, count=len(self._recent))
        order = np.argsort(keys)
        self._recent.clear()
        path = self._new_run(len(keys))
        self._open[path][0][:] = keys[order]
        self._open[path][1][:] = counts[order]
        self._runs.append((0, path))
        level = 0
        while len(same := [path for at, path in self._runs if at == level]) >= MERGE_RUNS:
            self._merge(level, same)
            level += 1

    def _new_run(self, size: int) -> Path:
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="occurrences-", dir=self._parent))
        self._made += 1
        path = self._folder / f"{self._made}"
        keys: Keys = np.memmap(path.with_suffix(".keys"), dtype=np.uint64, mode="w+", shape=(size,))
        counts: Counts = np.memmap(path.with_suffix(".counts"), dtype=np.int64, mode="w+", shape=(size,))
        self._open[path] = (keys, counts)
        return path

    def _merge(self, level: int, paths: list[Path]) -> None:
        """Merges sorted runs, one slice of the key space after another, so that memory holds only one slice."""
        target = self._new_run(sum(len(self._open[path][0]) for path in paths))
        keys, counts = self._open[target]
        filled = 0
        bounds = [round(slice_ * (2**64 / MERGE_SLICES)) for slice_ in range(1, MERGE_SLICES)]
        edges = {path: [0, *self._edges(path, bounds), len(self._open[path][0])] for path in paths}
        for slice_ in range(MERGE_SLICES):
            spans = {path: slice(edges[path][slice_], edges[path][slice_ + 1]) for path in paths}
            some_keys = np.concatenate([self._open[path][0][span] for path, span in spans.items()])
            some_counts = np.concatenate([self._open[path][1][span] for path, span in spans.items()])
            unique, inverse = np.unique(some_keys, return_inverse=True)
            sums = np.zeros(len(unique), dtype=np.int64)
            np.add.at(sums, inverse, some_counts)
            keys[filled : filled + len(unique)] = unique
            counts[filled : filled + len(unique)] = sums
            filled += len(unique)
        self._open[target] = (keys[:filled], counts[:filled])
        self._runs = [(at, path) for at, path in self._runs if path not in paths] + [(level + 1, target)]
        for path in paths:
            del self._open[path]
            path.with_suffix(".keys").unlink()
            path.with_suffix(".counts").unlink()

    def _edges(self, path: Path, bounds: Sequence[int]) -> list[int]:
        keys = self._open[path][0]
        return [int(edge) for edge in np.searchsorted(keys, np.array(bounds, dtype=np.uint64))]


class DerivedIds:
    """Gives each row its id. The rows must come in file order, starting with the first.

    Args:
        source: the source's name in the mapping.
        counter: numbers identical rows.
        places: position of each cell that enters the id, in that order; None for a cell that the file does not have.
            Without a list, every cell of the row enters it, in the file's order.
        recode: converts non-ASCII text to what an earlier release would have read; None leaves it as it is.
        day: returns the cell with the row's day, which ids begin with. None for the ids of earlier releases, which are
            only a digest.
    """

    def __init__(
        self,
        source: str,
        counter: OccurrenceCounter,
        places: Sequence[int | None] | None = None,
        recode: Callable[[str], str] | None = None,
        day: Callable[[Sequence[str]], str] | None = None,
    ) -> None:
        self._recode = recode
        self._day, self._days = day, dict[str, str]()
        self._prefix = hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        self._counter = counter
        self._chosen = None if places is None else _chooser(places)

    def digests(self, rows: Sequence[Sequence[str]]) -> list[bytes]:
        """Returns a digest of each row's cells, without padding and without empty cells at the end."""
        if self._chosen is not None:
            rows = list(map(self._chosen, rows))
        prefix, blake2b = self._prefix, hashlib.blake2b
        texts: Iterable[str] = map(SEPARATOR.join, rows)
        if (recode := self._recode) is not None:
            texts = (text if text.isascii() else recode(text) for text in texts)
        return [
            blake2b(prefix + text.rstrip(PADDING).encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
            for text in texts
        ]

    def ids(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Returns one id per row: 32 hexadecimal digits and, from the second occurrence on, its number."""
        digests = self.digests(rows)
        keys = np.frombuffer(b"".join(digests), dtype=np.uint64)[::2] if digests else np.empty(0, dtype=np.uint64)
        numbers = self._counter.number(keys)
        whole = [digest.hex() for digest in digests]
        if self._day is not None:
            days = self._days_of(list(map(self._day, rows)))
            whole = [day + digits[:-DAY_DIGITS] for day, digits in zip(days, whole, strict=True)]
        return [digits if number == 1 else f"{digits}-{number}" for digits, number in zip(whole, numbers, strict=True)]

    def _days_of(self, texts: Sequence[str]) -> list[str]:
        """Returns the 8 hexadecimal digits that stand for the day of each cell."""
        known = self._days
        if len(known) > DAYS_KEPT:
            known.clear()
        for text in set(texts) - known.keys():
            known[text] = day_digits(text if text.isascii() or self._recode is None else self._recode(text))
        return [known[text] for text in texts]


def day_digits(text: str) -> str:
    """Returns 8 hexadecimal digits for the day of a cell: the same for all times of the day.

    They are the day itself where it is written from the year to the day, so that ids follow time; otherwise a digest of
    the text without the time, which keeps the rows of a day together.
    """
    text = text.strip()
    written = _YEAR_FIRST.match(text)
    if written is not None:
        return "".join(written.groups())
    if _EPOCH.fullmatch(text) is not None:
        text = text[:EPOCH_DAY_DIGITS]
    clock = _CLOCK.search(text)
    rest = f"{text[: clock.start()]} {text[clock.end() :]}".strip() if clock is not None else ""
    text = rest if any(map(str.isdigit, rest)) else text
    return "d" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()[1:]


def _chooser(places: Sequence[int | None]) -> Callable[[Sequence[str]], Sequence[str]]:
    there = [place for place in places if place is not None]
    if len(there) == len(places) > 1:
        return itemgetter(*there)
    return lambda row: ["" if place is None else row[place] for place in places]
