"""The peers' bench: what counts as lost, twice or changed, and how commits and samples become figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import cases, counting, measure
from bench.peers.arena import CAUGHT_UP, Trial
from bench.peers.debezium import TEXTS, Debezium, schema
from bench.peers.measure import Sample, Speed, Window
from bench.peers.ours import NAME, Ours
from bench.peers.peer import Target
from bench.peers.report import Report, Standing, write
from bench.records import records
from rtp_workers.record.transaction import FIELD_NAMES

MADE = cases.plain(records(40))
WANTED = counting.expected(MADE.values)
EXACT = counting.Count()


def rows() -> list[tuple[object, ...]]:
    return list(WANTED.values())


def test_every_record_stored_once_as_it_was_is_exact() -> None:
    assert counting.compare(WANTED, rows()) == EXACT
    assert EXACT.is_exact


def test_a_missing_row_is_lost_and_a_repeated_one_is_twice() -> None:
    found = counting.compare(WANTED, [*rows()[2:], rows()[5]])

    assert found == counting.Count(lost=2, twice=1)
    assert not found.is_exact


def test_a_row_that_differs_is_changed_and_a_row_nobody_wanted_is_foreign() -> None:
    changed = rows()
    changed[0] = (*changed[0][:2], None, *changed[0][3:])
    stranger = ("bad-currency", *rows()[1][1:])

    assert counting.compare(WANTED, [*changed, stranger]) == counting.Count(changed=1, foreign=1)


def test_of_two_records_with_one_id_the_first_is_wanted() -> None:
    conflict = next(case for case in cases.trials(MADE) if case.name == "same id, other content")

    assert len(conflict.records.values) == len(MADE.values) + 1
    assert counting.expected(conflict.records.values) == WANTED


def test_a_bad_record_is_in_the_middle_and_is_not_wanted() -> None:
    broken, against_a_rule = cases.trials(MADE)[:2]
    middle = len(MADE.values) // 2

    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        json.loads(broken.records.values[middle])
    assert json.loads(against_a_rule.records.values[middle])["currency"] == "euro"
    assert broken.refused == against_a_rule.refused == 1
    assert broken.wanted == against_a_rule.wanted == WANTED


def test_a_trial_is_right_only_if_what_could_not_be_stored_was_set_aside() -> None:
    def trial(count: counting.Count, set_aside: int) -> Trial:
        return Trial("peer", "not JSON", count, set_aside, 0, CAUGHT_UP, refused=1)

    assert trial(EXACT, 1).is_right
    assert not trial(EXACT, 0).is_right
    assert not trial(counting.Count(lost=1), 1).is_right


def test_the_first_half_of_the_rows_is_warm_up() -> None:
    assert measure.window([(10.0, 40), (11.0, 10), (12.0, 30), (14.0, 20)]) == Window(11.0, 14.0, 50)


def test_without_warm_up_the_first_commit_starts_the_clock() -> None:
    assert measure.window([(10.0, 40), (12.0, 60)], warm_up_share=0) == Window(10.0, 12.0, 60)


def test_one_commit_has_no_speed() -> None:
    with pytest.raises(ValueError, match="too few to measure"):
        measure.window([(10.0, 100)])


def sample(at: float, contestant: float, postgres: float, idle: float, memory_bytes: int = 1) -> Sample:
    return Sample(at, {"contestant": contestant, "postgres": postgres}, memory_bytes, idle)


def test_cpu_counts_inside_the_window_and_the_rest_of_the_machine_is_told() -> None:
    samples = [sample(0, 5, 1, 0), sample(4, 9, 3, 2, 7_000_000), sample(8, 11, 5, 4)]

    found = measure.speed(Window(2.0, 6.0, 1_000), samples, cores=2)

    assert found.rows_per_s == 250
    assert found.cpu_s_per_million == {"contestant": 3_000, "postgres": 2_000}  # 3 s and 2 s for 1,000 rows
    assert found.peak_mb == 7
    assert found.idle_share == pytest.approx(0.25)  # 2 s of 8
    assert found.others_share == pytest.approx(0.125)  # 8 - 2 - 3 - 2 = 1 s of 8


def test_the_last_commit_may_be_after_the_last_sample() -> None:
    samples = [sample(0, 0, 0, 0), sample(4, 4, 0, 0)]

    assert measure.speed(Window(2.0, 9.0, 1_000_000), samples, cores=2).cpu_s_per_million["contestant"] == 2


def test_how_many_times_as_fast_is_the_median_of_the_rounds() -> None:
    ours = Standing(NAME, speeds=[Speed(100.0), Speed(300.0), Speed(90.0)])
    theirs = Standing("peer", speeds=[Speed(50.0), Speed(100.0), Speed(10.0)])
    report = Report("machine", "today", 10, 10, [ours, theirs, Standing("absent", not_measured="why")])

    assert report.times_ours(theirs) == 3.0
    assert report.times_ours(ours) is None
    assert report.times_ours(report.standings[2]) is None


def test_the_report_is_written_as_json_and_as_a_chart(tmp_path: Path) -> None:
    speed = Speed(100.0, {"contestant": 1.0, "postgres": 2.0, "kafka": 0.5}, 120.0)
    trial = Trial(NAME, "kill -9", EXACT, 0, 0, CAUGHT_UP)
    ours = Standing(NAME, {"version": "1"}, {}, [speed], [trial])

    write(Report("machine", "today", 10, 10, [ours, Standing("absent", not_measured="why")]), tmp_path)

    told = json.loads((tmp_path / "peers.json").read_text())
    assert [standing["not_measured"] for standing in told["standings"]] == ["", "why"]
    assert told["standings"][0]["trials"][0]["count"]["lost"] == 0
    assert (tmp_path / "peers.png").stat().st_size > 1_000


def test_connects_schema_has_every_field_of_the_record_but_the_attributes() -> None:
    assert set(FIELD_NAMES) - {"attributes"} == {"transaction_id", "occurred_at", "amount", *TEXTS}
    assert set(FIELD_NAMES) - {"attributes"} == set(counting.FIELDS)
    assert len(schema()["fields"]) == len(counting.FIELDS)  # type: ignore[arg-type]


def test_a_peers_password_is_in_its_files_and_not_in_what_is_printed(tmp_path: Path) -> None:
    peer = Debezium(tmp_path / "jars", "upsert")
    target = Target("127.0.0.1:9092", "topic", "postgresql://user:the-secret@127.0.0.1:5432/rtp", tmp_path)

    launch = peer.launch(target)

    assert "the-secret" in (tmp_path / "sink.properties").read_text()
    assert "the-secret" not in " ".join(launch.argv)
    assert "the-secret" not in str(peer.settings()) + repr(target)


def test_ours_takes_no_setting_from_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTP_CONSUMER_BATCH_ROWS", "1")

    env = Ours("postgresql://ingest").launch(Target("127.0.0.1:9092", "topic", "postgresql://owner", tmp_path)).env

    assert "RTP_CONSUMER_BATCH_ROWS" not in env
    assert env["RTP_TOPIC"] == "topic"
