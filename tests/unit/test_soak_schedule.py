"""What a soak does is known before it starts, and the same for the same seed."""

from __future__ import annotations

import pytest

from tests.soak.scene import ACTIONS
from tests.soak.schedule import LANES, Event, Fault, schedule

SECONDS = 300.0
ENDS = {fault.end: fault for lane in LANES for fault in lane.faults if fault.end is not None}


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule(7, SECONDS) == schedule(7, SECONDS)


def test_another_seed_gives_another_schedule() -> None:
    assert schedule(7, SECONDS) != schedule(8, SECONDS)


def test_every_action_is_known_to_the_scene_and_every_one_of_the_scene_is_drawn() -> None:
    assert {event.action for event in schedule(1, 1_200)} == set(ACTIONS)


def test_events_are_in_order_and_within_the_time_given() -> None:
    seconds = [event.second for event in schedule(3, SECONDS)]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert seconds[-1] <= SECONDS


@pytest.mark.parametrize("seed", range(20))
def test_a_server_has_one_fault_at_a_time_and_each_is_ended(seed: int) -> None:
    for server in ("kafka", "postgres"):
        begun: list[Fault] = []
        for event in schedule(seed, SECONDS):
            if not event.action.startswith(server):
                continue
            if event.action in ENDS:
                assert begun.pop().end == event.action
            else:
                assert begun == []
                begun = [fault for fault in _faults_called(event.action) if fault.end is not None]
        assert begun == []


def _faults_called(action: str) -> list[Fault]:
    return [fault for lane in LANES for fault in lane.faults if fault.action == action]


def test_a_seed_of_three_minutes_breaks_both_servers_in_every_way() -> None:
    drawn = {event.action for event in schedule(1, 180)}
    wanted = {fault.action for lane in LANES for fault in lane.faults if fault.action.startswith(("kafka", "postgres"))}
    assert wanted <= drawn


def test_an_event_says_when_what_and_how() -> None:
    assert str(Event(12.34, "kafka slow", {"delay_s": 0.1})) == "  12.3 s  kafka slow (delay_s=0.1)"
