"""The latest rows at a bounded cost, wherever in a large table PostgreSQL has put them."""

from __future__ import annotations

import json

from rtp_workers.consumer.api_reads import READ_ONLY
from rtp_workers.postgres.account import read_account
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.latest import TAIL_BLOCKS, latest_rows, newest_letters
from tests.conftest import Stack
from tests.reading import query

FILL = """
insert into transactions (transaction_id, occurred_at, amount, merchant, attributes, source, kafka_partition,
                          kafka_offset, ingested_at)
select %s || number, now(), 1, repeat('m', 500), jsonb_build_object('filler', (
           select string_agg(md5(random()::text), '') from generate_series(1, 40) as part where part > -number)),
       'test', 0, number, %s::timestamptz
from generate_series(1, %s) as number
"""
LEDGER = """
insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted, updated_at)
values ('a', 0, 't', 'g', 0, 10, 10, %s)
on conflict (topic_id, kafka_partition, generation) do update set updated_at = excluded.updated_at
"""
ROWS = 7_000


def ids(stack: Stack, limit: int) -> list[str]:
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True, options=READ_ONLY)
    try:
        return [json.loads(text)["transaction_id"] for text in latest_rows(connection, limit)]
    finally:
        connection.close()


def test_rows_in_space_that_was_freed_are_found(stack: Stack) -> None:
    query(stack, FILL, "old", "2026-01-01T00:00:00Z", ROWS)
    query(stack, LEDGER, "2026-01-01T00:00:01Z")
    blocks = query(stack, "select pg_relation_size('transactions') / 8192 as blocks")[0]["blocks"]
    assert blocks > TAIL_BLOCKS * 1.2, "the table must be larger than the end that is always read"
    assert ids(stack, 2) == [f"old{ROWS}", f"old{ROWS - 1}"]

    query(stack, "delete from transactions where kafka_offset < 500")
    query(stack, "vacuum transactions")
    query(stack, FILL, "new", "2026-01-02T00:00:00Z", 5)
    query(stack, LEDGER, "2026-01-02T00:00:01Z")
    places = query(stack, "select max((ctid::text::point)[0]) as block from transactions where transaction_id ~ '^new'")
    assert places[0]["block"] < blocks - TAIL_BLOCKS, "PostgreSQL must have used the freed space for this test"
    assert ids(stack, 7) == ["new5", "new4", "new3", "new2", "new1", f"old{ROWS}", f"old{ROWS - 1}"]


def test_only_the_end_of_the_table_is_read_while_rows_are_appended(stack: Stack) -> None:
    query(stack, FILL, "old", "2026-01-01T00:00:00Z", ROWS)
    query(stack, "analyze transactions")
    plan = query(
        stack,
        "explain select * from transactions where ctid >= %s::tid order by ingested_at desc limit 10",
        f"({TAIL_BLOCKS},0)",
    )
    assert any("Tid Range Scan" in line["QUERY PLAN"] for line in plan)


def test_an_empty_database_has_nothing_and_no_trouble(stack: Stack) -> None:
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True, options=READ_ONLY)
    try:
        account = read_account(connection)
        assert (account.ledger, account.updated_at, account.stored_rows, account.stored_dead_letters) == (
            [],
            None,
            0,
            0,
        )
        assert latest_rows(connection, 10) == []
        assert newest_letters(connection, 10) == []
    finally:
        connection.close()
