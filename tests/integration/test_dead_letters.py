"""Dead letters through the real consumer: listed, shown byte by byte, repaired, and sent again."""

from __future__ import annotations

import base64
import json

import pytest

from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.postgres import dead_letters
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.dead_letters import DeadLetterId, Filter
from rtp_workers.reconcile.replay import replay
from rtp_workers.reconcile.verify import verify
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.reading import dead_letters as stored_letters
from tests.reading import query, rows_by_id
from tests.records import body, produce

HOSTILE = b'{"transaction_id": "\x1b[31mred\xff'
HEADERS = [("source", b"csv:a.csv"), ("note", None), ("note", b"\x00\xfe"), ("replay_of", b"old:1:2")]


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


def letter_ids(stack: Stack) -> list[str]:
    return [f"{row['topic_id']}:{row['kafka_partition']}:{row['kafka_offset']}" for row in stored_letters(stack)]


@pytest.fixture
def refused(stack: Stack) -> Stack:
    """Three dead letters at offsets 0 to 2 of partition 0, of two kinds, and one row."""
    produce(stack, [HOSTILE, None, body("t1", amount="twelve")], headers=HEADERS)
    produce(stack, [body("t2")], kafka_partition=1)
    consume(stack)
    assert len(letter_ids(stack)) == 3
    return stack


def test_an_id_is_read_back_as_it_is_written() -> None:
    written = str(DeadLetterId("9FP1XGEXQd-cMxueggrp6A", 3, 12345))
    assert DeadLetterId.parse(written) == DeadLetterId("9FP1XGEXQd-cMxueggrp6A", 3, 12345)
    assert str(DeadLetterId("T", 3, 5, generation=2)) == "T:3:5:2"
    assert DeadLetterId.parse("T:3:5:2") == DeadLetterId("T", 3, 5, generation=2)


@pytest.mark.parametrize("text", ["", "a:b", "a:1", "a:1:2:3:4", ":1:2", "a:1:-2", "a:1:\u0661"])
def test_something_else_is_no_id(text: str) -> None:
    with pytest.raises(ConfigError, match="not the id of a dead letter"):
        DeadLetterId.parse(text)


def test_list_counts_by_reason_and_show_gives_the_bytes(refused: Stack) -> None:
    listed = json.loads(run_rtp("dead-letters", "list", "--json", env=refused.env).stdout)
    assert listed["total"] == 3
    assert sum(listed["by_reason"].values()) == 3
    reason = next(iter(listed["by_reason"]))
    some = json.loads(run_rtp("dead-letters", "list", "--reason", reason, "--json", env=refused.env).stdout)
    assert {letter["reason"] for letter in some["dead_letters"]} == {reason}

    hostile_id = letter_ids(refused)[0]
    shown = json.loads(run_rtp("dead-letters", "show", hostile_id, "--json", env=refused.env).stdout)
    assert base64.b64decode(shown["value"]) == HOSTILE
    assert [[name, None if text is None else base64.b64decode(text)] for name, text in shown["headers"]] == [
        [name, value] for name, value in HEADERS
    ]
    for command in (["list"], ["show", hostile_id]):
        printed = run_rtp("dead-letters", *command, env={**refused.env, "COLUMNS": "200"})
        assert printed.returncode == 0
        assert "\x1b[31m" not in printed.stdout
    unknown = run_rtp("dead-letters", "show", "nothing:0:1", env=refused.env)
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_a_replay_without_repair_becomes_dead_letters_again_and_is_sent_once(refused: Stack) -> None:
    before = letter_ids(refused)
    done = run_rtp("dead-letters", "replay", "--all", "--json", env=refused.env)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"replayed": 3, "failed": {}, "unknown": []})
    consume(refused)
    letters = stored_letters(refused)
    assert len(letters) == 6
    again = {letter["value"] and bytes(letter["value"]): letter for letter in letters if letter["replayed_at"] is None}
    assert set(again) == {HOSTILE, None, body("t1", amount="twelve")}
    replayed_of = dict(map(tuple, again[HOSTILE]["headers"]))["replay_of"]
    assert base64.b64decode(replayed_of).decode() == before[0]
    names = [name for name, _ in again[HOSTILE]["headers"]]
    assert names == ["source", "note", "note", "replay_of"]
    found = verify(refused.endpoints, refused.topic, timeout_s=0)
    assert (found.ok, found.kafka_records, found.dead_lettered, found.inserted) == (True, 7, 6, 1)


def test_a_repaired_dead_letter_becomes_a_row_and_keeps_its_key_and_source(refused: Stack) -> None:
    wanted = letter_ids(refused)[2]
    repaired = refused.home / "repaired.json"
    repaired.write_bytes(body("t1", amount="12"))
    arguments = ["dead-letters", "replay", "--id", wanted, "--value", str(repaired), "--json"]
    assert json.loads(run_rtp(*arguments, env=refused.env).stdout)["replayed"] == 1
    consume(refused)
    row = rows_by_id(refused)["t1"]
    assert (row["amount"], row["source"]) == (12, "csv:a.csv")
    replayed = [letter for letter in stored_letters(refused) if letter["replayed_at"] is not None]
    assert [letter["kafka_offset"] for letter in replayed] == [2]
    run_rtp(*arguments, env=refused.env)
    consume(refused)
    found = verify(refused.endpoints, refused.topic, timeout_s=0)
    assert (found.ok, found.rows, found.duplicates) == (True, 2, 1)


def test_the_editor_repairs_a_value(refused: Stack) -> None:
    wanted = letter_ids(refused)[2]
    env = {**refused.env, "EDITOR": "sed -i s/twelve/12/"}
    done = run_rtp("dead-letters", "replay", "--id", wanted, "--edit", env=env)
    assert (done.returncode, done.stdout) == (0, "1 replayed\n")
    consume(refused)
    assert rows_by_id(refused)["t1"]["amount"] == 12


def test_the_library_replays_by_reason_and_tells_unknown_ids(refused: Stack) -> None:
    reason = stored_letters(refused)[2]["reason"]
    by_reason = replay(refused.endpoints, refused.topic, Filter(refused.topic, reason, replayed=False))
    assert by_reason.replayed == 1
    again = replay(refused.endpoints, refused.topic, Filter(refused.topic, reason, replayed=False))
    assert again.replayed == 0
    unknown = replay(refused.endpoints, refused.topic, [DeadLetterId("nothing", 0, 1)])
    assert (unknown.replayed, unknown.unknown) == (0, ["nothing:0:1"])


def test_a_value_that_kafka_does_not_take_stays_a_dead_letter(refused: Stack) -> None:
    wanted = DeadLetterId.parse(letter_ids(refused)[0])
    report = replay(refused.endpoints, refused.topic, [wanted], repair=lambda letter: b"x" * 2_000_000)
    assert (report.replayed, list(report.failed)) == (0, [str(wanted)])
    assert query(refused, "select count(*) as n from dead_letters where replayed_at is not null") == [{"n": 0}]


def test_two_replays_at_once_are_kept_apart(refused: Stack) -> None:
    other = connect(refused.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        with dead_letters.replay_locked(other), pytest.raises(TransientError, match="another replay"):
            replay(refused.endpoints, refused.topic, Filter())
    finally:
        other.close()
    assert replay(refused.endpoints, refused.topic, Filter()).replayed == 3


def test_pages_leave_out_what_comes_meanwhile(stack: Stack) -> None:
    insert = (
        "insert into dead_letters (topic_id, kafka_partition, kafka_offset, topic, reason, detail) "
        "select 't', 0, i, 'x', 'r', 'd' from generate_series({}, {}) as i"
    )
    query(stack, insert.format(0, 9), dsn="postgres_ingest_dsn")
    connection = connect(stack.endpoints.need("postgres_read_dsn"), "rtp-test", autocommit=True)
    seen = []
    try:
        for page in dead_letters.pages(connection, Filter(), 4):
            seen += [letter.id.kafka_offset for letter in page]
            query(stack, insert.format(100 + len(seen), 100 + len(seen)), dsn="postgres_ingest_dsn")
    finally:
        connection.close()
    assert seen == list(range(10))


@pytest.mark.parametrize("arguments", [[], ["--all", "--reason", "x"], ["--all", "--edit"], ["--id", "nonsense"]])
def test_an_unclear_command_is_refused(stack: Stack, arguments: list[str]) -> None:
    done = run_rtp("dead-letters", "replay", *arguments, env=stack.env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
