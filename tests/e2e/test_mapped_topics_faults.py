"""Consumers of our own topic and two of others are killed and overtaken: each topic keeps every record once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from psycopg2.extensions import make_dsn, parse_dsn

from tests.conftest import Stack, StartRtp
from tests.program_logs import log_lines
from tests.programs import RunningProgram
from tests.reading import end_sessions, ledger_sums
from tests.tcp_proxy import TcpProxy
from tests.three_topics import ThreeTopics, three_topics
from tests.waiting import wait_until

SEEN_S = 180.0
CRAWL_BYTES_PER_S = 1_000.0  # about ten seconds for a batch
# Each is counted per topic. Our own topic gets so few records that a mapped topic is the first to get there.
PLACES = ("before_copy:3", "in_copy:6", "after_copy:3", "before_commit:3", "after_commit:3")


def test_three_topics_in_two_consumers_keep_every_record_once(stack: Stack, start_rtp: StartRtp) -> None:
    with three_topics(stack) as three:
        staying = start_rtp("consume", "--no-api", env=three.env)
        three.send()
        wait_until(three.has_rows, SEEN_S, "rows of every topic")
        killed = start_rtp("consume", "--no-api", env=three.env)
        wait_until(partial(three.shared_with, killed), SEEN_S, "the second consumer's share")
        three.send()
        three.send()
        killed.signal(signal.SIGKILL)
        three.send()
        guest = start_rtp("consume", "--no-api", env=three.env)
        wait_until(partial(three.shared_with, guest), SEEN_S, "the guest's share")
        three.send()
        guest.signal(signal.SIGTERM)
        three.send()
        assert guest.wait() == 0
        three.assert_stored_once()
        assert staying.running()


def test_a_consumer_killed_anywhere_in_a_mapped_topic_s_write_leaves_no_trace(
    stack: Stack, start_rtp: StartRtp
) -> None:
    with three_topics(stack) as three:
        for place in PLACES:
            three.send("json", "avro")
            killed = start_rtp("consume", "--no-api", env={**three.env, "RTP_FAILPOINT": place})
            assert killed.wait(SEEN_S) == -signal.SIGKILL, place
        three.send()
        lose_the_answer_to_a_commit(three, start_rtp)
        consumer = start_rtp("consume", "--no-api", env=three.env)
        for _ in range(3):
            three.send("json", "avro")
            end_sessions(stack)
        three.assert_stored_once()
        assert consumer.running()


@contextmanager
def proxy_of_postgres(three: ThreeTopics) -> Iterator[tuple[TcpProxy, dict[str, str]]]:
    """Yields a proxy and the environment of a consumer that reaches PostgreSQL through it."""
    dsn = three.stack.endpoints.need("postgres_ingest_dsn")
    server = parse_dsn(dsn)
    with TcpProxy((server["host"], int(server["port"]))) as proxy:
        yield proxy, {**three.env, "RTP_POSTGRES_INGEST_DSN": make_dsn(dsn, port=proxy.port)}


def lose_the_answer_to_a_commit(three: ThreeTopics, start_rtp: StartRtp) -> None:
    """Runs a consumer whose line to PostgreSQL loses the answer to a COMMIT and is then healed, and kills it."""
    with proxy_of_postgres(three) as (proxy, proxied):
        consumer = start_rtp("consume", "--no-api", env={**proxied, "RTP_FAILPOINT": "before_commit:2=stop"})
        wait_until(consumer.stopped, SEEN_S, "the consumer, stopped before COMMIT")
        before = ledger_sums(three.stack)["inserted"]
        proxy.drop_replies()
        wait_awake(consumer, lambda: ledger_sums(three.stack)["inserted"] > before, "the COMMIT on the server")
        proxy.heal()
        wait_awake(consumer, lambda: "commit_settled_from_ledger" in consumer.output(), "the look into the ledger")
        consumer.signal(signal.SIGKILL)


def wait_awake(program: RunningProgram, condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition, and continues a consumer each time that another topic reaches the failpoint."""

    def met() -> bool:
        if program.stopped():
            program.signal(signal.SIGCONT)
        return condition()

    wait_until(met, SEEN_S, what)


def test_zombies_of_mapped_topics_are_overtaken_and_write_nothing(stack: Stack, start_rtp: StartRtp) -> None:
    with three_topics(stack) as three:
        zombies = []
        for place in ("before_copy:3", "in_copy:6"):
            three.send("json", "avro")
            zombies.append(start_rtp("consume", "--no-api", env={**three.env, "RTP_FAILPOINT": f"{place}=stop"}))
            wait_until(zombies[-1].stopped, SEEN_S, f"a consumer stopped {place}")
        three.send()
        successor = start_rtp("consume", "--no-api", env=three.env)
        three.assert_stored_once()
        for zombie in zombies:
            wait_awake(zombie, partial(has_lost_its_share, zombie, three.mapped), "the zombie's rejoin")
        three.send()
        three.assert_stored_once()
        assert successor.running()
        assert all(zombie.running() for zombie in zombies)


def has_lost_its_share(zombie: RunningProgram, topics: list[str]) -> bool:
    """Tells whether a consumer has noticed that others own what it had of these topics."""
    lost = {line.get("topic") for line in log_lines(zombie) if line["event"] in ("batch_dropped", "partitions_lost")}
    return not lost.isdisjoint(topics)


def test_shares_taken_away_while_postgres_crawls_are_stored_once(stack: Stack, start_rtp: StartRtp) -> None:
    """A consumer waits for its batches, inside a rebalance, for longer than the poll interval."""
    with (
        three_topics(stack, RTP_CONSUMER_MAX_POLL_INTERVAL_S="10") as three,
        proxy_of_postgres(three) as (proxy, proxied),
    ):
        crawling = start_rtp("consume", "--no-api", env=proxied)
        three.send()
        wait_until(three.has_rows, SEEN_S, "rows of every topic")
        proxy.slow(0.01, CRAWL_BYTES_PER_S)
        three.send()
        three.send()
        wait_until(lambda: "a batch has been on its way" in crawling.output(), SEEN_S, "a write that crawls")
        other = start_rtp("consume", "--no-api", env=three.env)
        wait_until(partial(three.shared_with, other), SEEN_S, "the other consumer's share")
        proxy.heal()
        three.assert_stored_once()
        assert crawling.running()
        assert other.running()
