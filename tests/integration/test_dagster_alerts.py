"""Alerts as a local HTTP server receives them."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
import pytest

from tests.conftest import Stack
from tests.csv_files import write_settled
from tests.dagster_runs import backfill_config, run_job, settings_of, tick
from tests.waiting import wait_until


@dataclass
class Chat:
    """A webhook of somebody's chat.

    Attributes:
        url: with a secret in it.
        texts: the messages received.
        status: what it answers.
    """

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200


@pytest.fixture
def chat() -> Iterator[Chat]:
    received = Chat()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if received.status == 200:
                received.texts.append(body["text"])
            self.send_response(received.status)
            if received.status == 301:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)  # what a redirected message would end as
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        received.url = f"http://127.0.0.1:{server.server_address[1]}/s3cret"
        yield received
        server.shutdown()


def evaluated(instance: dg.DagsterInstance, *, passed: bool) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("transactions"), check_name="lag_is_low", passed=passed, description="9 records wait"
        )
    )


def ticks_until(chat: Chat, messages: int, instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    """Returns the cursor after the tick that sent the last of so many messages.

    A tick in which PostgreSQL is slow says nothing about files; a later one does.
    """
    now = cursor

    def sent() -> bool:
        nonlocal now
        now = tick("alert_sensor", now, instance=instance).cursor
        return len(chat.texts) >= messages

    wait_until(sent, 60, f"{messages} messages")
    return now


def test_a_check_that_fails_and_recovers_is_told_once_each_with_a_link(stack: Stack, chat: Chat) -> None:
    options = {"RTP_ALERT_WEBHOOK_URL": chat.url, "RTP_DAGSTER_PUBLIC_URL": "https://dagster.example.com/"}
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, **options):
        first = tick("alert_sensor", instance=instance)
        evaluated(instance, passed=False)
        failing = tick("alert_sensor", first.cursor, instance=instance)
        still = tick("alert_sensor", failing.cursor, instance=instance)
        evaluated(instance, passed=True)
        tick("alert_sensor", still.cursor, instance=instance)
    link = "https://dagster.example.com/assets/transactions?view=checks&checkDetail=lag_is_low"
    assert chat.texts == [
        f"lag_is_low on transactions fails: 9 records wait\n{link}",
        f"Recovered: check lag_is_low on transactions\n{link}",
    ]


def test_a_failed_run_and_a_file_that_cannot_be_loaded_are_told(stack: Stack, chat: Chat) -> None:
    write_settled(
        stack.home / "data" / "odd.csv", "Date,Description,Amount\n03/02/2026,Shop,-1.10\n04/02/2026,Shop,-2\n"
    )
    options = {"RTP_ALERT_WEBHOOK_URL": chat.url, "RTP_DAGSTER_PUBLIC_URL": "http://d"}
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, **options):
        first = tick("alert_sensor", instance=instance)
        result = run_job("batch_backfill", backfill_config("odd.csv"), instance=instance, tags={"rtp/file": "odd.csv"})
        assert not result.success
        cursor = ticks_until(chat, 2, instance, first.cursor)
        tick("alert_sensor", cursor, instance=instance)
    run, file = sorted(chat.texts)
    assert run.startswith("The run ")
    assert (
        f"of batch_backfill of odd.csv failed and is not retried. Its page says why.\nhttp://d/runs/{result.run_id}"
        in run
    )
    assert file.startswith("odd.csv is not loaded, because some questions about it are open")
    assert "retried when the file or the mapping file changes" in file


def test_what_the_webhook_does_not_take_is_sent_later_and_the_secret_is_never_shown(stack: Stack, chat: Chat) -> None:
    chat.status = 503
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, RTP_ALERT_WEBHOOK_URL=chat.url):
        evaluated(instance, passed=False)
        refused = tick("alert_sensor", instance=instance)
        chat.status = 200
        tick("alert_sensor", refused.cursor, instance=instance)
    assert "answers 503" in str(refused.skip_message)
    assert "s3cret" not in f"{refused.skip_message}{refused.cursor}"
    assert len(chat.texts) == 1


def test_a_redirected_message_is_not_taken_for_sent(stack: Stack, chat: Chat) -> None:
    chat.status = 301
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, RTP_ALERT_WEBHOOK_URL=chat.url):
        evaluated(instance, passed=False)
        moved = tick("alert_sensor", instance=instance)
        chat.status = 200
        tick("alert_sensor", moved.cursor, instance=instance)
    assert "answers 301, which points to another address" in str(moved.skip_message)
    assert len(chat.texts) == 1


@pytest.mark.parametrize("says", [b"", b"H", b"no HTTP at all\r\n\r\n"])
def test_a_webhook_that_never_answers_or_talks_nonsense_does_not_hold_up_a_tick(stack: Stack, says: bytes) -> None:
    """One byte every second is never silent for long."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while not over.wait(1):
                connection.sendall(says)

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/s3cret"
        with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, RTP_ALERT_WEBHOOK_URL=url):
            evaluated(instance, passed=False)
            found = tick("alert_sensor", instance=instance)
        over.set()
    assert "the webhook at 127.0.0.1" in str(found.skip_message)
    assert json.loads(str(found.cursor))["told"] == {}, "it is sent again"
    assert "s3cret" not in str(found.skip_message)


def test_while_the_database_is_away_no_file_counts_as_recovered(stack: Stack, chat: Chat) -> None:
    (stack.home / "data" / "folder.csv").mkdir()
    away = {"RTP_POSTGRES_READ_DSN": "postgresql://rtp_read:x@127.0.0.1:1/rtp"}
    with dg.DagsterInstance.ephemeral() as instance:
        with settings_of(stack, RTP_ALERT_WEBHOOK_URL=chat.url):
            cursor = ticks_until(chat, 1, instance, None)
        with settings_of(stack, RTP_ALERT_WEBHOOK_URL=chat.url, **away):
            cursor = tick("alert_sensor", cursor, instance=instance).cursor
        with settings_of(stack, RTP_ALERT_WEBHOOK_URL=chat.url):
            cursor = tick("alert_sensor", cursor, instance=instance).cursor
            (stack.home / "data" / "folder.csv").rmdir()
            ticks_until(chat, 2, instance, cursor)
    assert [text.split("\n")[0].split(":")[0] for text in chat.texts] == ["folder.csv is not loaded", "Recovered"]


def test_without_an_address_nobody_is_told(stack: Stack) -> None:
    with settings_of(stack):
        assert "RTP_ALERT_WEBHOOK_URL is not set" in str(tick("alert_sensor").skip_message)
