"""Derived ids: the same export again, renamed or grown adds only what is new; two identical purchases both survive."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_workers.mapping.rows.ids import OccurrenceCounter
from rtp_workers.mapping.sources import Section
from tests.mapping_files import csv_of, load_all

HEADER = "Date,Description,Amount"
ROW = st.tuples(st.integers(13, 16), st.sampled_from(["Tea", "Bus"]), st.sampled_from(["-1.00", "-2.50"]))
ROWS = st.lists(ROW.map(lambda row: f"{row[0]}/01/2024,{row[1]},{row[2]}"), min_size=1, max_size=30)


def ids(rows: list[str], name: str = "bank.csv", section: Section | None = None) -> list[str]:
    return [str(record["transaction_id"]) for record in load_all(csv_of(HEADER, *rows), name, section).records]


@settings(deadline=None)
@given(rows=ROWS, more=ROWS)
def test_a_grown_file_keeps_the_ids_of_its_beginning_and_every_row_has_its_own(
    rows: list[str], more: list[str]
) -> None:
    before, after = ids(rows), ids(rows + more)
    assert after[: len(rows)] == before
    assert len(set(after)) == len(rows) + len(more)


@settings(deadline=None)
@given(rows=ROWS)
def test_a_renamed_file_gives_the_same_ids(rows: list[str]) -> None:
    assert ids(rows, "bank.csv") == ids(rows, "export (2).csv")


@settings(deadline=None)
@given(rows=ROWS)
def test_a_better_mapping_gives_the_same_ids_and_another_source_gives_others(rows: list[str]) -> None:
    plain = ids(rows, section=Section(name="bank"))
    better = ids(rows, section=Section(name="bank", columns={"category": ("Description",)}, time_zone="Europe/Rome"))
    assert plain == better
    assert not set(plain) & set(ids(rows, section=Section(name="other")))


@settings(deadline=None)
@given(
    chunks=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=20), max_size=30),
    memory_rows=st.integers(1, 12),
)
def test_occurrences_are_counted_right_however_little_memory_there_is(
    chunks: list[list[int]], memory_rows: int
) -> None:
    seen: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder, OccurrenceCounter(Path(folder), memory_rows) as counter:
        for chunk in chunks:
            # Keys over the whole range, so that merges have slices with and without any.
            keys = np.array([key * (2**64 // 41) for key in chunk], dtype=np.uint64)
            expected = []
            for key in chunk:
                seen[key] += 1
                expected.append(seen[key])
            assert counter.number(keys) == expected
