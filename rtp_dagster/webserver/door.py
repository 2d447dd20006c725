"""Decides who may call Dagster's webserver: the rules of our own APIs, plus what a GraphQL endpoint needs.

Dagster itself runs mutations sent by GET, and checks neither Host nor Origin. An image on any web page could launch a
run in the browser of somebody who has Dagster open.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtp_workers.web.guard import Caller, GuardRules
from rtp_workers.web.problems import Problem, problem_response

HEALTH = "/server_info"  # shows only versions, so that a health check needs no token
GRAPHQL = "/graphql"
POLICY_VIOLATION = 1008  # RFC 6455
ELSEWHERE = frozenset({"cross-site", "same-site"})  # another port of this machine is the same site
ASK = 'Basic realm="Dagster: any user name, RTP_API_TOKEN as password", charset="UTF-8"'
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
)


class Door:
    """ASGI middleware in front of Dagster's own application: HTTP and websockets."""

    def __init__(self, app: ASGIApp, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the call on, or refuses it with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Problem as problem:
            await _refuse(problem, scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _check(self, scope: Scope) -> None:
        caller = Caller(scope, self._rules)
        caller.check_host()
        if caller.has_origin:
            caller.check_origin()
        elif caller.header("sec-fetch-site") in ELSEWHERE and not _opens_a_page(scope, caller):
            raise Problem(403, "a page of another origin cannot use this service; open Dagster itself in a tab")
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            _refuse_changes_by_get(scope)
        if scope["path"] != HEALTH and not caller.has_token():
            raise Problem(
                401,
                "Dagster needs the value of RTP_API_TOKEN here: as a browser's password or a program's bearer token",
                headers={"WWW-Authenticate": ASK},
            )


def _opens_a_page(scope: Scope, caller: Caller) -> bool:
    """Tells whether somebody follows a link. That shows a page, which the other origin can neither read nor operate."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and not scope["path"].endswith(GRAPHQL)
        and caller.header("sec-fetch-mode") == "navigate"
        and caller.header("sec-fetch-dest") == "document"
    )


def _refuse_changes_by_get(scope: Scope) -> None:
    """Raises Problem if the GraphQL text in the address is anything other than a query."""
    if not scope["path"].endswith(GRAPHQL):
        return
    for text in parse_qs(scope["query_string"].decode("latin-1")).get("query", []):
        if not _only_reads(text):
            raise Problem(405, "GET may carry queries only; send mutations by POST, as JSON")


def _only_reads(text: str) -> bool:
    try:
        document = parse(text, no_location=True)
    except (GraphQLError, RecursionError):
        return False
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return all(node.operation is OperationType.QUERY for node in operations)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
        return
    problem.headers["Connection"] = "close"  # the request's body was not read
    await problem_response(problem)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            message["headers"] = [*given, *(pair for pair in HEADERS if pair[0] not in names)]
        await send(message)

    return with_headers
