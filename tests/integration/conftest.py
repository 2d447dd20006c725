"""The consumer's API beside a running consumer."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Stack, StartRtp
from tests.consumer_answers import started
from tests.programs import RunningProgram


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the consumer's API."""
    with httpx.Client(base_url=stack.endpoints.need("consumer_url"), timeout=60) as client:
        yield client


@pytest.fixture
def service(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> RunningProgram:
    """`rtp consume`, ready."""
    return started(start_rtp, stack, api)
