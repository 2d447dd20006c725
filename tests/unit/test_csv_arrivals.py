"""Which CSV files the arrival sensor asks for."""

from __future__ import annotations

import os
from pathlib import Path

from rtp_dagster.backfill import arrivals as module
from rtp_dagster.backfill.arrivals import SETTLED_AFTER_S, arrivals, content_identity

NOW_NS = 1_800_000_000_000_000_000
OLD_NS = NOW_NS - int(SETTLED_AFTER_S * 1e9)
FRESH_NS = OLD_NS + 1


def test_a_settled_file_is_ready_and_one_just_written_waits() -> None:
    found = arrivals({"a.csv": (9, OLD_NS), "b.csv": (9, FRESH_NS)}, {}, {}, NOW_NS, 5)
    assert (found.ready, found.waiting, found.left) == (["a.csv"], ["b.csv"], 0)


def test_a_file_that_did_not_change_between_two_ticks_is_ready_even_from_the_future() -> None:
    ahead = (9, NOW_NS + 10**12)
    assert arrivals({"a.csv": ahead}, {}, {}, NOW_NS, 5).waiting == ["a.csv"]
    assert arrivals({"a.csv": ahead}, {"a.csv": ahead}, {}, NOW_NS, 5).ready == ["a.csv"]


def test_a_file_that_grows_between_two_ticks_waits() -> None:
    assert arrivals({"a.csv": (9, FRESH_NS)}, {"a.csv": (8, FRESH_NS)}, {}, NOW_NS, 5).waiting == ["a.csv"]


def test_an_empty_file_waits_for_its_content() -> None:
    assert arrivals({"a.csv": (0, OLD_NS)}, {"a.csv": (0, OLD_NS)}, {}, NOW_NS, 5).waiting == ["a.csv"]


def test_a_file_is_asked_for_once_and_again_when_it_has_grown() -> None:
    asked = {"a.csv": (9, OLD_NS)}
    assert arrivals({"a.csv": (9, OLD_NS)}, {}, asked, NOW_NS, 5).ready == []
    assert arrivals({"a.csv": (12, OLD_NS)}, {}, asked, NOW_NS, 5).ready == ["a.csv"]


def test_a_tick_asks_for_so_many_files_at_most_and_the_next_for_the_others() -> None:
    found = {f"{number}.csv": (9, OLD_NS) for number in range(7)}
    first = arrivals(found, {}, {}, NOW_NS, 5)
    assert (len(first.ready), first.left) == (5, 2)
    second = arrivals(found, {}, {name: found[name] for name in first.ready}, NOW_NS, 5)
    assert sorted(first.ready + second.ready) == sorted(found)


def test_the_identity_is_of_the_content_and_not_of_the_name(tmp_path: Path) -> None:
    for name, text in (
        ("a.csv", "x,y\n1,2\n"),
        ("b.csv", "x,y\n1,2\n"),
        ("c.csv", "x,y\n1,3\n"),
        ("d.csv", "x,y\n1,2\n3"),
    ):
        (tmp_path / name).write_text(text)
    of = {name: content_identity(tmp_path / f"{name}.csv") for name in "abcd"}
    assert of["a"] == of["b"]
    assert len({of["a"], of["c"], of["d"]}) == 3


def test_a_large_file_changed_in_its_middle_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a" * (module.WHOLE_BYTES + 1))
    os.utime(path, ns=(OLD_NS, OLD_NS))
    before = content_identity(path)
    assert content_identity(path) == before
    with path.open("r+b") as file:
        file.seek(module.WHOLE_BYTES // 2)
        file.write(b"b")
    assert content_identity(path) != before
