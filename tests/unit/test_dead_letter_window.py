"""The last minutes by the ledger's counters."""

from __future__ import annotations

from rtp_dagster.transactions.measures.window import Sample, grown, kept

WINDOW_S = 300.0


def test_the_window_reaches_back_to_the_last_sample_before_it() -> None:
    samples = [Sample(0, 10, 0), Sample(100, 20, 1), Sample(350, 30, 2)]
    found = kept(samples, Sample(401, 50, 7), WINDOW_S)
    assert [sample.at_s for sample in found] == [100, 350, 401]
    assert grown(found) == (30, 6)


def test_a_long_history_stays_short() -> None:
    samples: list[Sample] = []
    for tick in range(1000):
        samples = kept(samples, Sample(tick * 30.0, tick, 0), WINDOW_S)
    assert len(samples) == 11


def test_the_first_sample_and_counters_that_went_back_start_a_new_window() -> None:
    assert grown(kept([], Sample(5, 9, 9), WINDOW_S)) == (0, 0)
    assert kept([Sample(0, 10, 3)], Sample(5, 2, 0), WINDOW_S) == [Sample(5, 2, 0)]
