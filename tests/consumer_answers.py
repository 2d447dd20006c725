"""What a consumer's API answers to tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import httpx

from tests.conftest import Stack, StartRtp
from tests.programs import RunningProgram
from tests.waiting import wait_until


def ask(stack: Stack, path: str) -> tuple[int, dict[str, Any]]:
    """Returns status and body of a GET on the consumer's API; 0 and nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{stack.endpoints.need('consumer_url')}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def not_ready_because(stack: Stack, words: str) -> bool:
    """Tells whether the consumer's readiness is 503 with these words."""
    status, answer = ask(stack, "/health/ready")
    return status == 503 and words in answer.get("detail", "")


def started(start_rtp: StartRtp, stack: Stack, api: httpx.Client, **env: str) -> RunningProgram:
    """Starts `rtp consume` with these settings, and returns it once it is ready."""
    program = start_rtp("consume", env={**stack.env, **env})
    wait_until(lambda: readiness(api) == (200, ""), timeout_s=60, what="the consumer's readiness")
    return program


def readiness(api: httpx.Client) -> tuple[int, str]:
    """Returns the status and the reason of the consumer's readiness; 0 while it does not answer."""
    try:
        answer = api.get("/health/ready")
    except httpx.TransportError:
        return 0, ""
    return answer.status_code, answer.json()["detail"] or ""


def status(api: httpx.Client) -> dict[str, Any]:
    """Returns the consumer's status."""
    answer = api.get("/status")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found
