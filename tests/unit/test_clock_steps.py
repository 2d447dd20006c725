"""Ages by a clock that may be set: what would be nonsense is left out."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.consumer.clock_steps import ClockSteps
from rtp_workers.consumer.state import ConsumerState, Written


@dataclass
class Clocks:
    """A wall clock and a monotonic one, moved by hand."""

    wall_s: float = 1_000.0
    steady_s: float = 50.0

    def passes(self, seconds: float) -> None:
        """Lets time pass on both."""
        self.wall_s += seconds
        self.steady_s += seconds

    def steps(self) -> ClockSteps:
        """Returns what watches them."""
        return ClockSteps(lambda: self.wall_s, lambda: self.steady_s)


def test_an_age_is_the_difference_while_nobody_sets_the_clock() -> None:
    clocks = Clocks()
    steps = clocks.steps()
    clocks.passes(3)
    assert steps.age_s(1_001_000) == 2.0
    clocks.passes(0.25)
    assert steps.age_s(1_003_000) == 0.25


def test_a_clock_that_was_set_forward_makes_no_old_records() -> None:
    clocks = Clocks()
    steps = clocks.steps()
    clocks.wall_s += 60
    assert steps.age_s(1_000_000) is None
    clocks.passes(1)
    assert steps.age_s(1_000_000) is None, "appended before the step"
    assert steps.age_s(1_060_500) == 0.5


def test_a_clock_that_was_set_back_makes_no_records_of_the_future() -> None:
    clocks = Clocks()
    steps = clocks.steps()
    clocks.wall_s -= 60
    assert steps.age_s(1_000_000) is None
    clocks.passes(1)
    assert steps.age_s(940_500) == 0.5


def test_a_clock_that_is_a_little_behind_kafkas_counts_as_no_time_at_all() -> None:
    assert Clocks().steps().age_s(1_000_040) == 0.0


def test_a_sample_that_would_be_nonsense_is_left_out_of_the_latency() -> None:
    clocks = Clocks()
    state = ConsumerState(clock_steps=clocks.steps())
    clocks.passes(1)
    state.wrote(Written({0: (0, 1)}, None, 1, 0.1, [1_000_500]))
    clocks.wall_s += 3_600
    state.wrote(Written({0: (1, 2)}, None, 1, 0.1, [1_000_900]))
    assert (sum(state.latency_s.counts), state.latency_s.total) == (1, 0.5)
