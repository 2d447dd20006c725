"""A real Chromium, for the tests of both pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 30_000


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page; what it logs as an error, or asks of another host, fails the test."""
    with watched_page("401", "403") as opened:  # what the tests of tokens ask for
        yield opened


@contextmanager
def watched_page(*expected: str) -> Iterator[Page]:
    """Opens an empty page. What it logs as an error, or asks of another host, fails the test.

    Args:
        expected: texts of the errors that the test is about.
    """
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        opened.on("request", lambda asked: complaints.append(asked.url) if "127.0.0.1" not in asked.url else None)
        yield opened
        browser.close()
    assert not [said for said in complaints if not any(text in said for text in expected)]


def is_ready(url: str) -> bool:
    """Tells whether the service at `url` says that it is ready."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
