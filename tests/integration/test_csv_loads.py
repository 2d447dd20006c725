"""Progress of CSV loads on a real server: kept, found again, and one loader a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtp_workers.postgres import csv_loads
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.csv_loads import Beginning, LoadRunningError, Progress
from tests.conftest import Stack
from tests.waiting import wait_until

DONE = Progress(1000, 11, 10, 8, 2, "topic-id", {0: 5, 3: 7}, {"header": ["a", "b"]})


@pytest.fixture
def connections(stack: Stack) -> Iterator[list[Connection]]:
    """Two sessions of the loader's role."""
    opened = [connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True) for _ in range(2)]
    yield opened
    for connection in opened:
        connection.close()


def test_progress_is_found_again_by_identity(connections: list[Connection]) -> None:
    first, second = connections
    assert csv_loads.find(first, "i1") is None
    begun = csv_loads.begin(first, Beginning("i1", "a.csv", 5000, "topic-id"))
    assert (begun.state, begun.progress) == ("loading", Progress(topic_id="topic-id"))
    csv_loads.save(first, "i1", DONE)
    found = csv_loads.find(second, "i1")
    assert found is not None
    assert (found.progress, found.state, found.file_name, found.size_bytes) == (DONE, "loading", "a.csv", 5000)


def test_a_load_begun_again_goes_on_where_it_was(connections: list[Connection]) -> None:
    first, _ = connections
    load_id = csv_loads.begin(first, Beginning("i1", "a.csv", 5000, "topic-id")).load_id
    csv_loads.save(first, "i1", DONE)
    csv_loads.fail(first, "i1", "the file changed")
    failed = csv_loads.find(first, "i1")
    assert failed is not None
    assert (failed.state, failed.detail, failed.progress) == ("failed", "the file changed", DONE)
    again = csv_loads.begin(first, Beginning("i1", "renamed.csv", 6000, "topic-id"))
    assert (again.load_id, again.state, again.progress, again.detail) == (load_id, "loading", DONE, None)
    assert (again.file_name, again.size_bytes, again.finished_at) == ("renamed.csv", 6000, None)
    csv_loads.finish(first, "i1")
    finished = csv_loads.find(first, "i1")
    assert finished is not None
    assert finished.state == "loaded"
    assert finished.finished_at is not None


def test_one_loader_a_file(connections: list[Connection]) -> None:
    first, second = connections
    with csv_loads.locked(first, "i1"):
        with pytest.raises(LoadRunningError), csv_loads.locked(second, "i1"):
            pass
        with csv_loads.locked(second, "i2"):
            pass
    with csv_loads.locked(second, "i1"):
        pass


@pytest.mark.parametrize("role", ["postgres_ingest_dsn", "postgres_dsn"])
@pytest.mark.parametrize("identity", ["i1", "i2", "i3", "i4", "i5"])
def test_whoever_is_kept_out_learns_by_which_session(
    role: str, identity: str, connections: list[Connection], stack: Stack
) -> None:
    _, second = connections
    holder = connect(stack.endpoints.need(role), "somebody else's psql", autocommit=True)
    with holder.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_lock(42), pg_advisory_lock(hashtextextended('csv_load ' || %s, 0))", (identity,)
        )
        pid = holder.info.backend_pid
        named = rf"pid {pid} \(somebody else's psql"
        with pytest.raises(LoadRunningError, match=named) as caught, csv_loads.locked(second, identity):
            pass
    assert f"pg_terminate_backend({pid})" in str(caught.value)
    assert ("since 20" in str(caught.value)) is (role == "postgres_ingest_dsn")
    holder.close()


def test_a_lock_ends_with_its_session(connections: list[Connection]) -> None:
    first, second = connections
    with csv_loads.locked(first, "i1"):
        first.close()
        wait_until(lambda: can_lock(second, "i1"), what="the server frees the lock of a closed session")


def can_lock(connection: Connection, identity: str) -> bool:
    try:
        with csv_loads.locked(connection, identity):
            return True
    except LoadRunningError:
        return False


def test_recent_loads_come_newest_first_and_readers_may_ask(stack: Stack, connections: list[Connection]) -> None:
    for name in ("i1", "i2", "i3"):
        csv_loads.begin(connections[0], Beginning(name, f"{name}.csv", None, None))
    reader = connect(stack.endpoints.need("postgres_read_dsn"), "rtp-test", autocommit=True)
    try:
        assert [load.identity for load in csv_loads.recent(reader, 2)] == ["i3", "i2"]
    finally:
        reader.close()
