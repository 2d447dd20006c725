"""The queries that pgAdmin shows run as the role that reads, and count each topic by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_workers.local.pgadmin import QUERIES
from tests.conftest import Stack
from tests.foreign_topics import new_topic, send, simple_section, with_topics, write_sections
from tests.programs import run_rtp
from tests.reading import query
from tests.topic_records import body

# The tables of `insights` are made by Dagster, when it first computes them.
SAVED = [path for path in sorted(QUERIES.glob("*.sql")) if "insights." not in path.read_text()]


def run(stack: Stack, path: Path) -> list[dict[str, object]]:
    """Runs a saved query as pgAdmin does: with no arguments, by the role that reads."""
    return query(stack, path.read_text().replace("%", "%%"), dsn="postgres_read_dsn")


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_saved_query_runs(stack: Stack, path: Path) -> None:
    run(stack, path)


def test_topics_and_their_dead_letters_are_told_apart(stack: Stack) -> None:
    topic = new_topic(stack, "payments")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="p1"), body(id="p1"), b"not json"])
    done = run_rtp("consume", "--no-api", "--until-idle", "4s", env=with_topics(stack), timeout_s=300)
    assert done.returncode == 0, done.stderr
    by_name = {path.stem.partition(" ")[2]: path for path in SAVED}
    by_topic = {row["topic"]: row for row in run(stack, by_name["rows by topic"])}
    assert [by_topic[topic][name] for name in ("inserted", "duplicates", "dead_lettered")] == [1, 1, 1]
    (letters,) = run(stack, by_name["dead letters by reason"])
    assert (letters["topic"], letters["reason"], letters["letters"]) == (topic, "not_json", 1)
