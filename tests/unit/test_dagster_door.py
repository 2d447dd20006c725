"""Who may call Dagster's webserver: what a browser sends from elsewhere is refused, its own pages and programs pass."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.types import Message, Receive, Scope, Send

from rtp_dagster.webserver.door import Door
from rtp_workers.web.guard import GuardRules

RULES = GuardRules(hosts=frozenset({"localhost", "127.0.0.1"}), origins=frozenset({"http://board.example"}))
SECRET = GuardRules(hosts=RULES.hosts, token="s3cret")  # noqa: S106 - a made-up one
HERE = "127.0.0.1:3000"
MUTATION = urlencode({"query": 'mutation { shutdownRepositoryLocation(repositoryLocationName: "x") { __typename } }'})


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})


def ask(
    path: str = "/graphql",
    query: str = "",
    *,
    method: str = "POST",
    kind: str = "http",
    rules: GuardRules = RULES,
    **headers: str,
) -> list[Message]:
    """Returns what the door sends back; `host` is ours unless given, underscores of header names become dashes."""
    given: Mapping[str, str] = {"host": HERE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    scope: dict[str, Any] = {"type": kind, "path": path, "query_string": query.encode(), "headers": raw}
    if kind == "http":
        scope["method"] = method
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Door(_answer, rules)(scope, receive, send))
    return sent


def status(*arguments: Any, **options: Any) -> int:
    return int(ask(*arguments, **options)[0]["status"])


def test_a_program_without_origin_and_dagsters_own_page_pass() -> None:
    assert status() == 200
    assert status(origin=f"http://{HERE}", sec_fetch_site="same-origin") == 200
    assert status(host="localhost:3000", origin="http://localhost:3000") == 200
    assert status(origin="http://board.example", sec_fetch_site="cross-site") == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "10.0.0.7:3000", ""])
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    assert status(host=host) == 421
    assert status("/", method="GET", host=host) == 421
    assert ask(kind="websocket", host=host)[0]["type"] == "websocket.close"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8001", "https://127.0.0.1", f"http://{HERE}.evil.example"],
)
def test_a_page_of_another_origin_is_refused_by_http_and_by_websocket(origin: str) -> None:
    assert status(origin=origin) == 403
    assert status(method="GET", origin=origin) == 403
    assert ask(kind="websocket", origin=origin)[0]["type"] == "websocket.close"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_embeds_is_refused_but_a_link_to_a_page_works(site: str) -> None:
    embedded = {"method": "GET", "sec_fetch_site": site}
    assert status("/graphql", sec_fetch_mode="no-cors", sec_fetch_dest="image", **embedded) == 403
    assert status("/runs", sec_fetch_mode="navigate", sec_fetch_dest="iframe", **embedded) == 403
    assert status("/graphql", sec_fetch_mode="navigate", sec_fetch_dest="document", **embedded) == 403
    assert status("/runs", sec_fetch_mode="navigate", sec_fetch_dest="document", **embedded) == 200
    assert (
        status("/runs", method="POST", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document") == 403
    )


def test_dagsters_own_websocket_passes() -> None:
    assert ask(kind="websocket", origin=f"http://{HERE}")[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_by_get_only_queries_pass(method: str) -> None:
    assert status(query=urlencode({"query": "{ version }"}), method=method) == 200
    assert status(query=MUTATION, method=method) == 405
    assert status(query=urlencode({"query": "query A { version } mutation B { x }"}), method=method) == 405
    assert status(query=urlencode({"query": "subscription { x }"}), method=method) == 405
    assert status(query="query=%7B+version+%7D&" + MUTATION, method=method) == 405
    assert status(query=urlencode({"query": "{" * 5000}), method=method) == 405
    assert status(path="/behind/a/proxy/graphql", query=MUTATION, method=method) == 405


def test_with_a_token_only_the_health_check_answers_without_it() -> None:
    basic = base64.b64encode(b"anybody:s3cret").decode()
    assert status("/server_info", method="GET", rules=SECRET) == 200
    assert status(rules=SECRET) == 401
    assert status("/", method="GET", rules=SECRET) == 401
    assert ask(kind="websocket", rules=SECRET)[0]["type"] == "websocket.close"
    assert status(rules=SECRET, authorization="Bearer s3cret") == 200
    assert status(rules=SECRET, authorization=f"Basic {basic}") == 200
    assert status(rules=SECRET, authorization="Basic czNjcmV0") == 401
    assert status(rules=SECRET, authorization="Basic \xe4") == 401
    assert status(rules=SECRET, authorization="Bearer wrong") == 401
    headers = dict(ask(rules=SECRET)[0]["headers"])
    assert headers[b"www-authenticate"].startswith(b"Basic ")


def test_other_pages_can_neither_frame_nor_embed_the_answers() -> None:
    headers = dict(ask("/", method="GET")[0]["headers"])
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
