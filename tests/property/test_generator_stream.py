"""The stream is one and the same however it is read, and every ratio of trouble is counted exactly."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_workers.errors import RecordError
from rtp_workers.generator.chaos import Chaos, Counts
from rtp_workers.generator.stream import Generator, World
from rtp_workers.producer.pacing import CATCH_UP_S, TokenBucket
from rtp_workers.record import codec

PAST = World(seed=11, start=datetime(2025, 6, 1, tzinfo=UTC), speed=500)
SIZES = st.lists(st.integers(1, 3_000), min_size=1, max_size=6)
SHARE = st.floats(0, 1)


@cache
def whole_stream() -> list[bytes]:
    return Generator(PAST).take(18_000, 0).values


@settings(deadline=None, max_examples=15)
@given(SIZES)
def test_any_way_of_reading_gives_the_same_stream(sizes: list[int]) -> None:
    generator = Generator(PAST)
    values = [value for size in sizes for value in generator.take(size, 0).values]
    assert values == whole_stream()[: sum(sizes)]


@settings(deadline=None, max_examples=15)
@given(SIZES, SHARE, SHARE, SHARE)
def test_counts_are_what_a_reader_finds(sizes: list[int], duplicate: float, late: float, corrupt: float) -> None:
    generator = Generator(PAST, Chaos(duplicate, late, corrupt))
    batches = [generator.take(size, 0) for size in sizes]
    counts = sum((batch.counts for batch in batches), Counts())
    refused = 0
    valid = []
    for batch in batches:
        assert len(batch.keys) == len(batch.values)
        for value in batch.values:
            try:
                valid.append(str(codec.decode(value).texts[0]))
            except RecordError:
                refused += 1
    assert counts.records == sum(sizes) == counts.fresh + counts.duplicate + counts.late + counts.corrupt
    assert refused == counts.corrupt
    assert len(set(valid)) == counts.fresh + counts.late


@given(st.floats(0.01, 1e6), st.lists(st.floats(0.001, CATCH_UP_S), min_size=1, max_size=200))
def test_short_steps_of_any_length_keep_the_average_exact(rate_per_s: float, steps_s: list[float]) -> None:
    bucket, now_s, sent = TokenBucket(rate_per_s, 0.0), 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        sent += bucket.take(now_s, 1 << 40)
    assert sent == pytest.approx(rate_per_s * now_s, abs=1.01, rel=1e-6)
