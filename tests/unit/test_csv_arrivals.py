"""Which CSV files the arrival sensor asks for, and when again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rtp_dagster.backfill.arrivals import REMEMBERED, SETTLED_AFTER_S, Arrivals, Memory, arrivals
from rtp_dagster.backfill.files import judge_files
from rtp_workers.batch.file_states import FileState, file_state
from rtp_workers.batch.folder import Stamp
from rtp_workers.postgres.csv_files import Attempt, LastAttempt

NOW_S = 1_800_000_000.0
OLD_NS = int((NOW_S - SETTLED_AFTER_S) * 1e9)
FRESH_NS = OLD_NS + 10**6
OLD: Stamp = (9, OLD_NS)


def new(name: str, at: Stamp = OLD, mapping: str = "m") -> FileState:
    return file_state(name, at, mapping, None)


def tried(name: str, *, passing: bool, attempts: int = 1, at_s: float = NOW_S, mapping: str = "m") -> FileState:
    attempt = Attempt(name, *OLD, "m", "failed", passing, "a reason")
    return file_state(name, OLD, mapping, LastAttempt(attempt, attempts, datetime.fromtimestamp(at_s, UTC)))


def look(
    *states: FileState, before: Memory | None = None, now_s: float = NOW_S, running: set[str] | None = None
) -> Arrivals:
    return arrivals(states, before or Memory(), running or set(), now_s, 5)


def ready(found: Arrivals) -> list[str]:
    return [state.name for state in found.ready]


def test_a_settled_file_is_ready_and_one_just_written_waits() -> None:
    found = look(new("a.csv"), new("b.csv", (9, FRESH_NS)))
    assert ready(found) == ["a.csv"]
    assert found.waiting == {"b.csv": "still being written, or empty"}


def test_a_file_that_did_not_change_between_two_ticks_is_ready_even_from_the_future() -> None:
    ahead = new("a.csv", (9, OLD_NS + 10**12))
    first = look(ahead)
    assert ready(first) == []
    assert ready(look(ahead, before=first.memory)) == ["a.csv"]
    assert ready(look(new("a.csv", (10, OLD_NS + 10**12)), before=first.memory)) == []


def test_an_empty_file_waits_for_its_content() -> None:
    first = look(new("a.csv", (0, OLD_NS)))
    assert ready(look(new("a.csv", (0, OLD_NS)), before=first.memory)) == []


def test_a_loaded_file_and_an_entry_that_is_no_file_are_left_alone() -> None:
    done = LastAttempt(Attempt("a.csv", *OLD, "m", "loaded"), 1, datetime.fromtimestamp(NOW_S, UTC))
    found = look(file_state("a.csv", OLD, "other mapping", done), FileState("b.csv", "refused", "it is a folder"))
    assert (ready(found), found.waiting, found.memory) == ([], {}, Memory())


def test_a_file_with_a_run_at_work_is_not_asked_for_and_one_whose_run_left_no_result_is_after_a_wait() -> None:
    first = look(new("a.csv"))
    assert ready(look(new("a.csv"), before=first.memory, running={"a.csv"}, now_s=NOW_S + 3600)) == []
    waits = look(new("a.csv"), before=first.memory, now_s=NOW_S + 20)
    assert ready(waits) == []
    assert "requested once" in waits.waiting["a.csv"]
    second = look(new("a.csv"), before=waits.memory, now_s=NOW_S + 61)
    assert ready(second) == ["a.csv"]
    assert ready(look(new("a.csv"), before=second.memory, now_s=NOW_S + 61 + 100)) == []
    assert ready(look(new("a.csv"), before=second.memory, now_s=NOW_S + 61 + 121)) == ["a.csv"]


def test_a_changed_file_or_mapping_is_asked_for_at_once() -> None:
    first = look(new("a.csv"))
    assert ready(look(new("a.csv", (12, OLD_NS)), before=first.memory)) == ["a.csv"]
    assert ready(look(new("a.csv", mapping="n"), before=first.memory)) == ["a.csv"]


def test_a_failure_that_stands_waits_for_the_file_or_the_mapping() -> None:
    stands = tried("a.csv", passing=False, at_s=NOW_S - 10_000)
    assert ready(look(stands)) == []
    assert stands.next_step == "retried when the file or the mapping file changes"
    assert ready(look(tried("a.csv", passing=False, mapping="n"))) == ["a.csv"]


def test_a_failure_that_passes_is_tried_again_after_waits_that_double() -> None:
    assert ready(look(tried("a.csv", passing=True), now_s=NOW_S + 29)) == []
    assert ready(look(tried("a.csv", passing=True), now_s=NOW_S + 31)) == ["a.csv"]
    assert ready(look(tried("a.csv", passing=True, attempts=3), now_s=NOW_S + 119)) == []
    assert ready(look(tried("a.csv", passing=True, attempts=3), now_s=NOW_S + 121)) == ["a.csv"]
    assert ready(look(tried("a.csv", passing=True, attempts=99), now_s=NOW_S + 901)) == ["a.csv"]


def test_a_result_ends_the_wait_for_a_run_that_was_asked_for() -> None:
    asked = look(new("a.csv")).memory
    failed = tried("a.csv", passing=True, at_s=NOW_S + 5)
    assert ready(look(failed, before=asked, now_s=NOW_S + 36)) == ["a.csv"]


def test_a_tick_asks_for_so_many_files_at_most_and_the_next_for_the_others() -> None:
    states = [new(f"{number}.csv") for number in range(7)]
    first = look(*states)
    second = look(*states, before=first.memory)
    assert (len(ready(first)), len(ready(second))) == (5, 2)
    assert first.waiting["5.csv"] == "waiting for its turn"


def test_what_is_remembered_survives_json_and_stays_small() -> None:
    states = [new(f"{number}.csv", (9, FRESH_NS)) for number in range(5_000)]
    states += [new(f"n{number}.csv") for number in range(5_000)]
    memory = Memory()
    for tick in range(60):
        memory = arrivals(states, memory, (), NOW_S - 5 + tick / 100, 100).memory
        text = json.dumps(memory.written())
        assert len(text) < 19_000
        assert Memory.read(json.loads(text)).written() == memory.written()
    assert len(memory.seen) == REMEMBERED


def test_a_cursor_of_an_earlier_version_is_forgotten() -> None:
    assert Memory.read({"asked": {"a.csv": [1, 2]}, "seen": {"a.csv": 3}}) == Memory()
    assert Memory.read({"ask": [], "seen": {}}) == Memory()


def test_the_check_names_each_file_that_is_not_loaded_and_warns_where_it_passes_by_itself() -> None:
    assert judge_files([], {}).passed
    good = judge_files([new("a.csv")], {"a.csv": "waiting for its turn"})
    assert good.passed
    passing = judge_files([tried("a.csv", passing=True)], {})
    assert (passing.passed, passing.severity.value) == (False, "WARN")
    stands = judge_files([tried("a.csv", passing=False), FileState("b.csv", "refused", "it is a folder")], {})
    assert (stands.passed, stands.severity.value) == (False, "ERROR")
    assert "a.csv: a reason" in stands.sentence
    assert "b.csv: it is a folder" in stands.sentence
