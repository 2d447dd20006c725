"""A prefix of a bucket as the data folder: the arrival sensor, the backfill and `rtp files`, against a real S3 API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest

from rtp_workers.batch import file_states
from rtp_workers.batch.attempts import mapping_stamp
from rtp_workers.batch.folder import list_data
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_files import Attempt, note
from rtp_workers.settings import DagsterSettings, load
from tests.conftest import Stack
from tests.csv_files import canonical_text
from tests.dagster_runs import backfill_config, failure_text, one_tick, run_job, settings_of, tick
from tests.object_store import S3, Fault, faulty_proxy, running_s3
from tests.programs import run_rtp

ARRIVALS = "csv_arrival_sensor"
OBJECTS = 5_000
CURSOR_BYTES = 20_000


@pytest.fixture(scope="module")
def store() -> Iterator[S3]:
    """One store for this file; each test writes below a prefix of its own."""
    with running_s3() as s3:
        yield s3


def of_prefix(store: S3, prefix: str, url: str | None = None) -> dict[str, str]:
    """Returns the environment in which a prefix is the data folder."""
    return {**store.environment(url), "RTP_DATA_DIR": f"s3://exports/{prefix}"}


def asked_for(found: object) -> list[str]:
    """Returns the names of the files that a tick has asked runs for."""
    requests = getattr(found, "run_requests", None) or []
    return [name for request in requests for name in request.run_config["ops"]["csv_backfill"]["config"]["files"]]


@pytest.fixture
def settled_at_once() -> Iterator[None]:
    """Objects count as settled although they were written just now."""
    with patch("rtp_dagster.backfill.arrivals.SETTLED_AFTER_S", 0.0):
        yield


@pytest.mark.usefixtures("settled_at_once")
def test_objects_below_a_prefix_are_asked_for_loaded_and_asked_for_again_when_replaced(stack: Stack, store: S3) -> None:
    store.put("arrival/may.csv", canonical_text(range(30)) + "one,bad,row\n")
    store.put("arrival/readme.md", "not a CSV")
    store.put("arrival/deeper/june.csv", "in a folder of its own")
    env = of_prefix(store, "arrival")
    with settings_of(stack, **env):
        first = tick(ARRIVALS)
        assert run_job("batch_backfill", backfill_config("may.csv", ledger_timeout_s=0.1)) is not None
        done = tick(ARRIVALS, first.cursor)
        store.put("arrival/may.csv", canonical_text(range(40)))
        replaced = tick(ARRIVALS, done.cursor)
    assert asked_for(first) == asked_for(replaced) == ["may.csv"]
    assert asked_for(done) == []
    assert "1 of 1 files are loaded" in str(done.skip_message)

    listed = json.loads(run_rtp("files", "--json", env={**stack.env, **env}).stdout)["files"]
    assert [(file["file"], file["state"]) for file in listed] == [("may.csv", "waiting")]
    shown = run_rtp("refused", "list", env={**stack.env, **env})
    assert "may.csv: 1 row refused, in s3://exports/arrival/refused/may.csv." in shown.stdout


def test_a_name_outside_the_prefix_is_not_read(stack: Stack, store: S3) -> None:
    store.put("inside/may.csv", canonical_text(range(3)))
    store.put("secret/may.csv", canonical_text(range(3)))
    with settings_of(stack, **of_prefix(store, "inside")):
        for name in ("../secret/may.csv", "s3://exports/secret/may.csv"):
            result = run_job("batch_backfill", backfill_config(name))
            assert not result.success
            assert "no CSV named" in failure_text(result)


def test_which_of_5000_objects_are_known_stands_in_postgresql(stack: Stack, store: S3) -> None:
    store.put_many([f"many/{number:05d}.csv" for number in range(OBJECTS)], canonical_text(range(2)))
    with faulty_proxy(store.url) as proxy, settings_of(stack, **of_prefix(store, "many", proxy.url)):
        with patch("rtp_dagster.backfill.arrivals.SETTLED_AFTER_S", 0.0):
            first = tick(ARRIVALS)
        pages = [asked for asked in proxy.asked if "list-type=2" in asked.path]
        assert len(pages) == len(proxy.asked) == OBJECTS / 1_000
        assert len(asked_for(first)) == 5
        note_loaded(stack, range(OBJECTS - 3))
        with patch("rtp_dagster.backfill.arrivals.SETTLED_AFTER_S", 0.0):
            forgetful = tick(ARRIVALS)  # without a cursor
        states = file_states.counts(states_now(stack))
    assert asked_for(forgetful) == [f"{number:05d}.csv" for number in range(OBJECTS - 3, OBJECTS)]
    assert (states["loaded"], states["new"]) == (OBJECTS - 3, 3)
    assert max(len(found.cursor or "") for found in (first, forgetful)) < CURSOR_BYTES


def note_loaded(stack: Stack, numbers: range) -> None:
    """Notes in PostgreSQL that these objects are loaded as they are."""
    settings = load(DagsterSettings)
    found = {file.name: file.stamp() for file in list_data(settings).files}
    loaded = Attempt("", 0, 0, mapping_stamp(settings), "loaded", rows_read=2)
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=False)
    for number in numbers:
        name = f"{number:05d}.csv"
        size_bytes, modified_ns = found[name]
        note(connection, replace(loaded, file_name=name, size_bytes=size_bytes, modified_ns=modified_ns))
    connection.commit()
    connection.close()


def states_now(stack: Stack) -> list[file_states.FileState]:
    """Returns the state of each object."""
    connection = connect(stack.endpoints.need("postgres_read_dsn"), "rtp-test", autocommit=True)
    try:
        return file_states.folder_states(load(DagsterSettings), connection)
    finally:
        connection.close()


def test_a_store_that_is_away_is_a_reason_and_not_a_failed_tick(stack: Stack, store: S3) -> None:
    env = of_prefix(store, "away", "http://127.0.0.1:1")
    with patch("rtp_workers.objects.access.MAX_RETRIES", 1), settings_of(stack, **env):
        found = one_tick(ARRIVALS)
    assert "s3://exports/away: cannot list it" in str(found.skip_message)


@pytest.mark.usefixtures("settled_at_once")
def test_an_object_that_the_store_refuses_is_tried_again_by_itself(stack: Stack, store: S3) -> None:
    store.put("refused-by-store/may.csv", canonical_text(range(3)))
    with (
        faulty_proxy(store.url) as proxy,
        settings_of(stack, **of_prefix(store, "refused-by-store", proxy.url)),
    ):
        proxy.choose = lambda asked: Fault(status=403) if asked.sent_range else None
        assert not run_job("batch_backfill", backfill_config("may.csv", ledger_timeout_s=0.1)).success
        (state,) = states_now(stack)
    assert (state.state, "check the credentials" in state.reason) == ("failed", True)
    assert state.retry_at_s is not None
