"""What our protocol takes for granted of uvicorn's and h11's: a newer version that changes it fails here, by name."""

from __future__ import annotations

import asyncio
import inspect

import h11
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from rtp_workers.web.server import BoundedProtocol

OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "send_400_response": ["self", "msg"],
    "shutdown": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
}


async def application(scope: object, receive: object, send: object) -> None:
    """Is never asked."""


def new_protocol() -> BoundedProtocol:
    config = uvicorn.Config(application, log_config=None)
    config.load()
    return BoundedProtocol(config, ServerState(), {}, asyncio.get_running_loop())


@pytest.mark.parametrize(("method", "parameters"), OVERRIDDEN.items())
def test_what_we_override_is_called_as_before(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(H11Protocol, method)).parameters) == parameters


def test_everything_we_override_is_listed_above() -> None:
    own = {name for name, value in vars(BoundedProtocol).items() if inspect.isfunction(value)}
    assert {name for name in own if hasattr(H11Protocol, name) and not name.startswith("__")} == set(OVERRIDDEN)


def test_what_we_read_of_a_connection_is_there() -> None:
    async def look() -> None:
        protocol = new_protocol()
        assert protocol.connections == set()
        assert isinstance(protocol.conn, h11.Connection)
        assert protocol.scope is None
        assert protocol.cycle is None
        assert protocol.loop is asyncio.get_running_loop()

    asyncio.run(look())
    assert "response_complete" in inspect.getsource(RequestResponseCycle.__init__)
