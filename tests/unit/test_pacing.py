"""The token bucket, on a clock of the test's own."""

from __future__ import annotations

import pytest

from rtp_workers.generator.chaos import Chaos
from rtp_workers.producer.controls import Controls
from rtp_workers.producer.pacing import CATCH_UP_S, TokenBucket


def sent(bucket: TokenBucket, from_s: float, to_s: float, step_s: float) -> int:
    steps = round((to_s - from_s) / step_s)
    return sum(bucket.take(from_s + (step + 1) * step_s, 10_000_000) for step in range(steps))


@pytest.mark.parametrize("rate_per_s", [0.01, 1, 7.3, 50, 4_999, 150_000])
@pytest.mark.parametrize("step_s", [0.003, 0.05, 1.7])
def test_a_minutes_average_is_exact(rate_per_s: float, step_s: float) -> None:
    bucket = TokenBucket(rate_per_s, 100.0)
    elapsed_s = round(600 / step_s) * step_s
    assert sent(bucket, 100, 100 + elapsed_s, step_s) == pytest.approx(rate_per_s * elapsed_s, abs=1.01)


def test_a_short_pause_is_made_up_for_and_the_rest_of_a_long_one_let_go() -> None:
    bucket = TokenBucket(100, 0)
    assert bucket.take(CATCH_UP_S / 2, 1_000_000) == 100 * CATCH_UP_S / 2
    assert bucket.take(1_000, 1_000_000) == 100 * CATCH_UP_S + 1


def test_a_change_of_rate_counts_from_its_moment() -> None:
    bucket = TokenBucket(10, 0)
    bucket.set_rate(1_000, 1)
    assert bucket.take(2, 1_000_000) == 10 + 1_000


def test_what_is_not_taken_stays_due() -> None:
    bucket = TokenBucket(100, 0)
    assert bucket.take(1, 30) == 30
    assert bucket.take(1, 100) == 70


def test_after_a_stop_nothing_is_due() -> None:
    bucket = TokenBucket(100, 0)
    bucket.restart(5)
    assert bucket.take(5, 1_000) == 0
    assert bucket.wait_s() == pytest.approx(0.01)


def test_a_clock_that_goes_back_earns_nothing() -> None:
    bucket = TokenBucket(100, 10)
    assert bucket.take(5, 1_000) == 0
    assert bucket.take(6, 1_000) == 100


def test_bursts_add_up_and_are_taken_once() -> None:
    controls = Controls(False, 50.0, Chaos())
    controls.add_burst(100)
    assert controls.add_burst(50) == 150
    assert (controls.take_burst(120), controls.take_burst(120), controls.take_burst(120)) == (120, 30, 0)
