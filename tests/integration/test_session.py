"""A session means the same everywhere: nothing in the environment, a service file, the DSN, the role or the database
changes how text is stored or a value is read. On a real server."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from rtp_workers.errors import ConfigError
from rtp_workers.postgres import session
from rtp_workers.postgres.connection import Connection, connect
from tests.conftest import Stack, StartRtp
from tests.reading import query, rows_by_id, wait_for_ledger
from tests.records import body, produce

NAME = "rtp-test-session"
TEXT = "Bäckerei Müller, 東京, \\n 'x'"
HOSTILE = {
    "search_path": "app, pg_catalog",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "application_name": "somebody else",
}
OPTIONS = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in HOSTILE.items())

Source = Callable[[Stack, Path, pytest.MonkeyPatch], str]


def from_variables(stack: Stack, home: Path, patch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "PGCLIENTENCODING": "LATIN1",
        "PGOPTIONS": OPTIONS,
        "PGDATESTYLE": "SQL, DMY",
        "PGTZ": "Asia/Kathmandu",
        "PGAPPNAME": "somebody else",
        "PGSSLMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGREQUIREAUTH": "none",
        "PGTARGETSESSIONATTRS": "standby",
        "PGGSSENCMODE": "require",
        "PGHOSTADDR": "127.0.0.9",
        "PGSERVICE": "nowhere",
        "PGSERVICEFILE": str(home / "none.conf"),
    }.items():
        patch.setenv(name, value)
    return dsn_of(stack)


def from_service_file(stack: Stack, home: Path, patch: pytest.MonkeyPatch) -> str:
    there = {**parse_dsn(dsn_of(stack)), "client_encoding": "LATIN1", "application_name": "other", "options": OPTIONS}
    lines = "".join(f"{name}={value}\n" for name, value in there.items())
    (home / "services.conf").write_text(f"[theirs]\n{lines}")
    patch.setenv("PGSERVICEFILE", str(home / "services.conf"))
    return "service=theirs"


def from_dsn(stack: Stack, home: Path, patch: pytest.MonkeyPatch) -> str:
    return str(make_dsn(dsn_of(stack), client_encoding="LATIN1", application_name="other", options=OPTIONS))


def from_role(stack: Stack, home: Path, patch: pytest.MonkeyPatch) -> str:
    settle(stack, f'alter role rtp_ingest in database "{database(stack)}" set', dsn="postgres_ingest_dsn")
    return dsn_of(stack)


def from_database(stack: Stack, home: Path, patch: pytest.MonkeyPatch) -> str:
    settle(stack, f'alter database "{database(stack)}" set', dsn="postgres_dsn")
    return dsn_of(stack)


SOURCES = [from_variables, from_service_file, from_dsn, from_role, from_database]


def dsn_of(stack: Stack) -> str:
    return stack.endpoints.need("postgres_ingest_dsn")


def database(stack: Stack) -> str:
    return str(parse_dsn(dsn_of(stack))["dbname"])


def settle(stack: Stack, statement: str, dsn: str) -> None:
    for name, value in HOSTILE.items():
        query(stack, f"{statement} {name} to {value if ',' in value else repr(value)}", dsn=dsn)


@contextmanager
def connected(dsn: str, options: str = "") -> Iterator[Connection]:
    connection = connect(dsn, NAME, autocommit=True, options=options)
    try:
        yield connection
    finally:
        connection.close()


def shown(connection: Connection, name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("select current_setting(%s)", (name,))
        return str(cursor.fetchall()[0][0])


@pytest.mark.parametrize("source", SOURCES)
def test_what_we_rely_on_is_the_same_whatever_the_surroundings_say(
    stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    with connected(source(stack, home, monkeypatch)) as connection:
        expected = {**session.PINNED, "client_encoding": "UTF8", "application_name": NAME}
        assert {name: shown(connection, name) for name in expected} == expected
        assert connection.info.dbname == database(stack)


@pytest.mark.parametrize("source", SOURCES)
def test_text_is_stored_as_it_was_sent(
    stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    with connected(source(stack, home, monkeypatch)) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table sent (text text)")
        cursor.copy_expert("copy sent from stdin (format csv, quote '\"', delimiter '|')", io.BytesIO(TEXT.encode()))
        cursor.execute("insert into sent values (%s)", (TEXT,))
        cursor.execute("select convert_to(text, 'UTF8') from sent")
        assert [bytes(row[0]).decode() for row in cursor.fetchall()] == [TEXT, TEXT]


def test_the_pins_hold_in_a_session_with_transactions_after_a_rollback(stack: Stack) -> None:
    connection = connect(make_dsn(dsn_of(stack), options=OPTIONS), NAME)
    try:
        connection.rollback()
        assert shown(connection, "search_path") == "public"
        assert not connection.autocommit
    finally:
        connection.close()


def test_a_caller_s_own_options_are_in_force(stack: Stack) -> None:
    with connected(dsn_of(stack), options="-c statement_timeout=4321") as connection:
        assert shown(connection, "statement_timeout") == "4321ms"


def test_connecting_takes_the_client_s_variables_away_and_leaves_those_that_point_to_secrets(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=app")
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    with connected(dsn_of(stack)):
        assert "PGOPTIONS" not in os.environ
        assert os.environ["PGPASSFILE"] == "/nowhere"


def test_the_consumer_stores_letters_outside_ascii_under_any_client_encoding(stack: Stack, start_rtp: StartRtp) -> None:
    settle(stack, f'alter database "{database(stack)}" set', dsn="postgres_dsn")
    produce(stack, [body("umlaut", merchant=TEXT)])
    env = {**stack.env, "PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c search_path=app", "PGTZ": "Asia/Kathmandu"}
    start_rtp("consume", "--no-api", env=env)
    wait_for_ledger(stack)
    assert rows_by_id(stack)["umlaut"]["merchant"] == TEXT


def test_a_service_that_does_not_exist_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="nobody"):
        connect("service=nobody", NAME)
