"""What Kafka has lost is told where a person looks, until it is confirmed."""

from __future__ import annotations

import json

from tests.conftest import Stack
from tests.programs import run_rtp
from tests.reading import query

LOST = """
insert into log_losses (topic_id, kafka_partition, generation, topic, from_offset, to_offset)
values ('AAAAAAAAAAAAAAAAAAAAAA', %s, 0, 'transactions', 100, %s)
"""


def losses_in_status(stack: Stack) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run_rtp("status", "--json", env=stack.env).stdout)["losses"]
    return found


def test_status_shows_losses_until_a_person_confirms_them(stack: Stack) -> None:
    assert losses_in_status(stack) == []
    query(stack, LOST, 1, 1_100)
    query(stack, LOST, 4, 350)
    found = losses_in_status(stack)
    assert [(loss["kafka_partition"], loss["records_at_most"]) for loss in found] == [(1, 1_000), (4, 250)]
    shown = " ".join(run_rtp("status", env=stack.env).stdout.split())
    assert "lost by Kafka" in shown
    assert "up to 1,250" in shown
    assert "rtp losses --confirm" in shown
    assert run_rtp("losses", "--confirm", env=stack.env).returncode == 0
    assert losses_in_status(stack) == []
    assert "lost by Kafka" not in run_rtp("status", env=stack.env).stdout
