"""What the consumer keeps for its API and says in its log about outages."""

from __future__ import annotations

from structlog.testing import capture_logs

from rtp_workers.consumer.state import ConsumerState


def test_each_new_reason_of_an_outage_is_logged_once() -> None:
    state = ConsumerState()
    with capture_logs() as logged:
        for reason in ("refused", "refused", "starting", "refused", "starting"):
            state.note_problems({"postgres": reason})
    assert [line["reason"] for line in logged] == ["refused", "starting"]
    assert state.problems == {"postgres": "starting"}


def test_reasons_that_differ_in_figures_only_are_the_same() -> None:
    state = ConsumerState()
    with capture_logs() as logged:
        for seconds in (5, 6, 17):
            state.note_problems({"postgres": f"a batch has been on its way for {seconds} s"})
    assert len(logged) == 1
    assert "17 s" in state.problems["postgres"]


def test_a_problem_that_comes_back_is_logged_again() -> None:
    state = ConsumerState()
    with capture_logs() as logged:
        for problems in ({"kafka": "away"}, {}, {"kafka": "away"}):
            state.note_problems(problems)
    assert [line["event"] for line in logged] == ["problem", "problem_over", "problem"]


def test_a_problem_that_is_not_logged_yet_is_logged_later_or_not_at_all() -> None:
    state = ConsumerState()
    with capture_logs() as logged:
        state.note_problems({"kafka": "away"}, unlogged={"kafka"})
        assert state.problems == {"kafka": "away"}
        state.note_problems({})
        assert logged == []
        state.note_problems({"kafka": "away"}, unlogged={"kafka"})
        state.note_problems({"kafka": "away"})
        state.note_problems({})
    assert [line["event"] for line in logged] == ["problem", "problem_over"]


def test_a_partition_that_waits_for_its_offset_unsettles_the_consumer() -> None:
    state = ConsumerState()
    state.start_session("topic-1")
    state.note_assignment(set(), waiting=False)
    assert state.settled_at is None, "the group has not shared anything out yet"
    state.rebalances = 1
    state.note_assignment({0, 1}, waiting=False)
    assert state.settled_at is not None
    state.note_assignment({0, 1}, waiting=True)
    assert state.settled_at is None
