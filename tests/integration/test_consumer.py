"""Kafka -> PostgreSQL on real servers: rows, duplicates, dead letters, skipped offsets, and a ledger that balances."""

from __future__ import annotations

import pytest

from tests.conftest import StartRtp, Stack
from tests.records import body, produce, producer_of
from tests.reading import dead_letters, ledger_sums, rows_by_id, wait_for_ledger

NEIGHBOURS = 3


def test_records_become_rows_exactly_as_they_were_sent(stack: Stack, start_rtp: StartRtp) -> None:
    texts = ["tab\there", "new\nline", "back\\slash", "\\.", "\\N", 'quo"te', "%s", "'; drop table transactions; --", ""]
    produce(stack, [body(f"t{i}", merchant=text) for i, text in enumerate(texts)])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    rows = rows_by_id(stack)
    assert [rows[f"t{i}"]["merchant"] for i in range(len(texts))] == texts
    assert ledger_sums(stack) == {"inserted": len(texts), "duplicates": 0, "dead_lettered": 0, "skipped": 0}
