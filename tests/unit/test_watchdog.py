"""Which threads the watchdog takes for hung, and which merely wait."""

from __future__ import annotations

from structlog.testing import capture_logs

from rtp_workers.watchdog import Watchdog


def looked(watchdog: Watchdog, times: int) -> list[str]:
    hung: list[str] = []
    for _ in range(times):
        hung = watchdog.look(1.0)
    return hung


def test_a_thread_that_does_not_turn_is_hung_and_said_once() -> None:
    watchdog = Watchdog(hung_after_s=30)
    watchdog.beat("loop")
    with capture_logs() as logged:
        assert looked(watchdog, 30) == []
        assert looked(watchdog, 5) == ["loop"]
    assert [(line["event"], line["thread"]) for line in logged] == [("thread_hung", "loop")]


def test_a_thread_that_turns_is_not_hung_and_one_that_recovers_no_longer() -> None:
    watchdog = Watchdog(hung_after_s=30)
    beat = watchdog.beat("loop")
    assert looked(watchdog, 40) == ["loop"]
    beat.turn()
    assert looked(watchdog, 1) == []


def test_waiting_for_somebody_else_counts_as_turning() -> None:
    watchdog = Watchdog(hung_after_s=30)
    beat = watchdog.beat("writer")
    with beat.waiting():
        assert looked(watchdog, 500) == []
    assert looked(watchdog, 30) == []
    assert looked(watchdog, 2) == ["writer"]


def test_a_thread_that_has_ended_is_not_missed_until_another_takes_its_place() -> None:
    watchdog = Watchdog(hung_after_s=30)
    watchdog.beat("writer").end()
    assert looked(watchdog, 100) == []
    watchdog.beat("writer")
    assert looked(watchdog, 100) == ["writer"]
