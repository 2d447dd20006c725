"""What Kafka has lost is told where a person looks, until it is confirmed."""

from __future__ import annotations

from tests.conftest import Stack
from tests.programs import run_rtp, status_with
from tests.reading import query
from tests.waiting import wait_until

LOST = """
insert into log_losses (topic_id, kafka_partition, generation, topic, from_offset, to_offset)
values ('AAAAAAAAAAAAAAAAAAAAAA', %s, 0, 'transactions', 100, %s)
"""


def losses_in_status(stack: Stack) -> list[dict[str, object]]:
    found: list[dict[str, object]] = status_with(lambda told: told["losses"] is not None, stack.env)["losses"]
    return found


def test_status_shows_losses_until_a_person_confirms_them(stack: Stack) -> None:
    assert losses_in_status(stack) == []
    query(stack, LOST, 1, 1_100)
    query(stack, LOST, 4, 350)
    found = losses_in_status(stack)
    assert [(loss["kafka_partition"], loss["records_at_most"]) for loss in found] == [(1, 1_000), (4, 250)]

    def table() -> str:
        return " ".join(run_rtp("status", env=stack.env).stdout.split())

    def lost() -> str | None:
        return text if "lost by Kafka" in (text := table()) else None

    shown = wait_until(lost, 60, "the losses in the table")
    assert shown is not None
    assert "up to 1,250" in shown
    assert "rtp losses --confirm" in shown
    assert run_rtp("losses", "--confirm", env=stack.env).returncode == 0
    assert losses_in_status(stack) == []
    assert "lost by Kafka" not in table()
