"""Where a row and a dead letter came from: topic, generation and load, as the consumer writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.conftest import Stack, StartRtp
from tests.reading import query, wait_for_ledger
from tests.records import Header, body, produce

NEW_LOAD = "insert into csv_loads (identity, file_name, state) values ('x', 'x.csv', 'loading') returning load_id"


def test_rows_and_dead_letters_keep_where_they_came_from(stack: Stack, start_rtp: StartRtp) -> None:
    load_id = query(stack, NEW_LOAD)[0]["load_id"]
    named: dict[str, list[Header]] = {
        "known": [("source", b"csv:x.csv"), ("load", b"%d" % load_id)],
        "first": [("load", b"%d" % load_id), ("source", b"csv:x.csv")],
        "zeros": [("source", b"csv:x.csv"), ("load", b"000%d" % load_id)],
        "twice": [("load", b"%d" % load_id), ("load", b"999999")],
        "unknown": [("source", b"csv:x.csv"), ("load", b"999999")],
        "negative": [("load", b"-1")],
        "huge": [("load", b"9" * 30)],
        "words": [("load", b"one\n\\.")],
        "null": [("load", None)],
        "empty": [("load", b"")],
        "absent": [("source", b"live")],
    }
    for name, headers in named.items():
        produce(stack, [body(name), b"bad"], headers=headers)
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    rows = {row["transaction_id"]: row for row in query(stack, "select * from transactions")}
    assert {name for name, row in rows.items() if row["load_id"] == load_id} == {"known", "first", "zeros", "twice"}
    assert {name for name, row in rows.items() if row["load_id"] is None} == set(named) - {
        "known",
        "first",
        "zeros",
        "twice",
    }
    topic_id = query(stack, "select topic_id from ingest_ledger limit 1")[0]["topic_id"]
    assert {(row["topic_id"], row["generation"]) for row in rows.values()} == {(topic_id, 0)}
    letters = query(stack, "select * from dead_letters order by kafka_offset")
    assert [letter["load_id"] for letter in letters] == [rows[name]["load_id"] for name in named]
    assert {letter["generation"] for letter in letters} == {0}
    now = datetime.now(UTC)
    assert all(now - timedelta(minutes=10) < letter["kafka_timestamp"] <= now for letter in letters)
