"""Topics of others on the stack's Kafka, for tests of the consumer that maps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtp_workers.kafka.topics import ensure_topic, log_offsets
from tests.conftest import Stack
from tests.reading import assert_balanced, query
from tests.records import produce
from tests.waiting import wait_until

SUMS = "sum(inserted)::bigint as inserted, sum(duplicates)::bigint as duplicates, " \
       "sum(dead_lettered)::bigint as dead_lettered, sum(skipped)::bigint as skipped"  # fmt: skip


def new_topic(stack: Stack, name: str, *, partitions: int = 2, configs: dict[str, str] | None = None) -> str:
    """Makes a topic whose name begins with the stack's, and returns its name."""
    topic = f"{stack.topic}.{name}"
    ensure_topic(stack.endpoints, topic, partitions=partitions, configs=configs)
    return topic


def send(stack: Stack, topic: str, values: Sequence[bytes | None], *, partitions: int = 2, **options: Any) -> None:
    """Sends values to a topic, shared among its partitions."""
    for number in range(partitions):
        produce(replace(stack, topic=topic), values[number::partitions], kafka_partition=number, **options)


def write_sections(stack: Stack, *sections: str) -> Path:
    """Writes the mapping file."""
    path = Path(stack.env["RTP_DATA_DIR"]) / "sources.toml"
    path.write_text("\n".join(sections))
    return path


def simple_section(topic: str, name: str = "pay", more: str = "") -> str:
    """Returns a section for documents like `tests.topic_records.document`."""
    return (
        f'[{name}]\ntopics = ["{topic}"]\ncolumns.transaction_id = "id"\ncolumns.occurred_at = "at"\n'
        f'columns.amount = "amount"\n{more}\n'
    )


def with_topics(stack: Stack, **settings: str) -> dict[str, str]:
    """Returns the environment of a consumer that takes every topic made by `new_topic`."""
    return {**stack.env, "RTP_TOPICS": f"{stack.topic}.*", **settings}


def sums_of(stack: Stack, topic: str) -> dict[str, int]:
    """Returns the ledger's sums of one topic; an empty dict where it has no row."""
    found = query(stack, f"select {SUMS} from ingest_ledger where topic = %s having count(*) > 0", topic)  # noqa: S608 - fixed names
    return found[0] if found else {}


def has_caught_up(stack: Stack, topic: str) -> bool:
    """Tells whether the ledger is at the end of every partition of a topic."""
    ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, topic).items()}
    rows = query(
        stack, "select kafka_partition as number, next_offset as next from ingest_ledger where topic = %s", topic
    )
    return {row["number"]: row["next"] for row in rows} == ends


def wait_for_topics(stack: Stack, topics: Iterable[str], timeout_s: float = 120) -> None:
    """Waits until everything in these topics is accounted for, and checks that the ledger balances."""
    for topic in topics:
        wait_until(lambda topic=topic: has_caught_up(stack, topic), timeout_s=timeout_s, what=f"the end of {topic}")  # type: ignore[misc]  # mypy cannot type lambda defaults
    assert_balanced(stack)
