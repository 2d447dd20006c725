"""What Kafka's client logs over and over is logged once a minute."""

from __future__ import annotations

import io
import logging

import pytest

from rtp_workers import logs

REFUSED = "Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after %d ms in state CONNECT)"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(level="debug", form="json")
    return stream


def test_a_line_that_differs_only_in_its_numbers_comes_once_a_minute(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    client = logging.getLogger(logs.KAFKA_CLIENT)
    for waited_ms in range(20):
        client.error(REFUSED, waited_ms)
    client.error("SASL authentication error")
    assert len(printed.getvalue().splitlines()) == 2
    clock += logs.REPEATED_AFTER_S
    client.error(REFUSED, 0)
    assert len(printed.getvalue().splitlines()) == 3


def test_debug_lines_and_lines_of_others_are_never_kept_back(printed: io.StringIO) -> None:
    for _ in range(3):
        logging.getLogger(logs.KAFKA_CLIENT).debug("fetch")
        logging.getLogger("rtp").error("problem")
    assert len(printed.getvalue().splitlines()) == 6
