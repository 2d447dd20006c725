"""What a consumer's API answers to tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.conftest import Stack


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
