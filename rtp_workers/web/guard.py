"""Checks who may call, and how much they may send, before any handler sees a request.

A page on another site can reach a service on loopback through the visitor's browser. But it cannot forge ``Host``
(which stops DNS rebinding), and it cannot hide its ``Origin`` when it changes something.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings
from rtp_workers.web.problems import Problem, problem_response

READING = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(
    r"(?:(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # listened on, but nobody's name
# Probes and Prometheus send no token. The pages and their files say nothing about the data. All other calls need one.
OPEN_PATHS = frozenset({"/", "/docs", "/favicon.ico", "/metrics", "/health/live", "/health/ready"})
OPEN_FOLDERS = ("/static/", "/page/")
MAX_BODY_BYTES = 1_000_000
# A refused body is read up to this size, because most clients look for the answer only after they have sent all of it.
DRAIN_BYTES = 16_000_000
BODY_TIMEOUT_S = 10.0
ALL_BODIES_BYTES = 32_000_000  # of all bodies in memory together; beyond it, callers must try again later

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class GuardRules:
    """What the guard lets through.

    Attributes:
        hosts: names that ``Host`` may carry, lower case, without port.
        origins: further ``scheme://host[:port]`` that may change things; the service's own page always may.
        token: if set, every call needs it as bearer token, except those that `is_open` names.
        read_token: is enough for calls that change nothing.
        max_body_bytes: the largest body allowed.
        body_timeout_s: a body that is not complete by then is refused.
    """

    hosts: frozenset[str] = LOOPBACK
    origins: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    max_body_bytes: int = MAX_BODY_BYTES
    body_timeout_s: float = BODY_TIMEOUT_S


def rules_of(settings: PlatformSettings) -> GuardRules:
    """Returns the rules that follow from the settings: loopback names, the bind host, and what the user adds.

    Raises:
        ConfigError: RTP_ALLOWED_HOSTS has something that is not a host name, or RTP_READ_TOKEN would protect nothing.
    """
    own = set() if settings.bind_host in ANY_ADDRESS else {settings.bind_host.lower()}
    token, read_token = _text(settings.api_token), _text(settings.read_token)
    if read_token is not None and token is None:
        raise ConfigError("RTP_READ_TOKEN is set without RTP_API_TOKEN, so everybody could read; set both, or neither")
    if read_token is not None and read_token == token:
        raise ConfigError("RTP_READ_TOKEN is the same as RTP_API_TOKEN, so viewers could change things; choose another")
    return GuardRules(
        hosts=LOOPBACK | own | {_allowed_host(name) for name in _listed(settings.allowed_hosts)},
        origins=frozenset(name.rstrip("/").lower() for name in _listed(settings.allowed_origins)),
        token=token,
        read_token=read_token,
    )


def is_open(method: str, path: str) -> bool:
    """Tells whether a call needs no token, even if one is set."""
    return method.upper() in READING and (path in OPEN_PATHS or path.startswith(OPEN_FOLDERS))


def _text(secret: SecretStr | None) -> str | None:
    return (secret.get_secret_value() or None) if secret is not None else None


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def host_name(host: str) -> str:
    """Returns the name in a ``Host`` value: lower case, without port, brackets and trailing dot.

    Anything but ``name[:port]`` or ``[address][:port]`` gives "", which matches no name. A parser of URLs would find
    ``127.0.0.1`` in ``evil.com@127.0.0.1`` and ``localhost`` in ``localhost#.evil.com``.
    """
    found = HOST.fullmatch(host)
    return "" if found is None else (found["address"] or found["name"]).lower()


def _allowed_host(name: str) -> str:
    known = host_name(name)
    if not known:
        raise ConfigError(f"RTP_ALLOWED_HOSTS: {name[:100]!r} is not a host name; give names without scheme or path")
    return known


class Guard:
    """ASGI middleware that enforces `GuardRules` and adds the security headers. One per application."""

    def __init__(self, app: ASGIApp, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with a problem, or passes on the request with its complete body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_security_headers(send)
        body = _Body(scope, receive, self._rules)
        self._held_bytes += body.reserved
        try:
            await self._serve(scope, body, guarded)
        except Problem as problem:
            # The connection may be in the middle of a body: it cannot carry another request.
            problem.headers["Connection"] = "close"
            await body.drain()
            await problem_response(problem)(scope, receive, guarded)
        finally:
            self._held_bytes -= body.reserved

    async def _serve(self, scope: Scope, body: _Body, send: Send) -> None:
        caller = Caller(scope, self._rules)
        caller.check_host()
        if scope["method"] not in READING:
            caller.check_origin()
        if not is_open(scope["method"], scope["path"]):
            caller.check_token(changing=scope["method"] not in READING)
        if self._held_bytes > ALL_BODIES_BYTES and body.reserved:
            raise Problem(503, "too many large requests at once; nothing was done. Send this one again a little later")
        await body.read()
        if not body.gone:
            await self._app(scope, body.replay, send)


class Caller:
    """The sender of a request (or of a websocket), as the headers describe it."""

    def __init__(self, scope: Scope, rules: GuardRules) -> None:
        self._rules = rules
        self._headers = _headers(scope)

    def header(self, name: str) -> str:
        """Returns a header's first value, or "" if it is missing."""
        return self._headers.get(name.encode(), [""])[0]

    @property
    def has_origin(self) -> bool:
        """Tells whether the request says which page it comes from."""
        return bool(self._headers.get(b"origin"))

    def check_host(self) -> None:
        """Raises Problem unless there is exactly one Host header, with one of our names."""
        host = _single(self._headers, b"host", 400, "the Host header is missing or repeated; send exactly one")
        if host_name(host) not in self._rules.hosts:
            raise Problem(
                421,
                f"no service here has the name {host[:100]!r}; add it to RTP_ALLOWED_HOSTS if it should",
            )

    def check_origin(self) -> None:
        """Raises Problem if there is an Origin that is neither the service's own nor on the list."""
        origins = self._headers.get(b"origin", [])
        if origins and not self._origin_allowed(origins):
            raise Problem(
                403,
                f"a page at {origins[0][:100]!r} cannot change anything here; add it to RTP_ALLOWED_ORIGINS if it may",
            )

    def check_token(self, *, changing: bool) -> None:
        """Raises Problem if a token is needed and the caller's is missing, wrong or not sufficient."""
        if self.has_token():
            return
        if self._rules.read_token is None or not self._gives(self._rules.read_token):
            which = "RTP_API_TOKEN" if changing or self._rules.read_token is None else "RTP_API_TOKEN or RTP_READ_TOKEN"
            raise Problem(401, f"this call needs the header Authorization: Bearer with the value of {which}")
        if changing:
            raise Problem(
                403,
                "RTP_READ_TOKEN can only read; this call needs the value of RTP_API_TOKEN (on a page: open a new tab)",
            )

    def has_token(self) -> bool:
        """Tells whether the API token is given, as bearer or as a browser's password; True if none is needed."""
        return self._rules.token is None or self._gives(self._rules.token)

    def _gives(self, wanted: str) -> bool:
        scheme, _, given = self.header("authorization").partition(" ")
        token = given.strip().encode()
        if scheme.lower() == "basic":
            token = _basic_password(token)
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(token, wanted.encode())

    def _origin_allowed(self, origins: list[str]) -> bool:
        origin, host = origins[0].lower(), self.header("host").lower()
        return len(origins) == 1 and (origin in (f"http://{host}", f"https://{host}") or origin in self._rules.origins)


def _basic_password(given: bytes) -> bytes:
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except ValueError:
        return b""


class _Body:
    """A request's body, read whole within limits, then handed on as one message."""

    def __init__(self, scope: Scope, receive: Receive, rules: GuardRules) -> None:
        headers = _headers(scope)
        self._receive = receive
        self._rules = rules
        self._chunks: list[bytes] = []
        self._waits_to_send = b"expect" in headers
        self._complete = self._handed_on = False
        self.gone = False
        self.size = 0
        self.declared = int(headers.get(b"content-length", ["0"])[0])
        unknown = b"transfer-encoding" in headers
        self.reserved = rules.max_body_bytes if unknown else min(self.declared, rules.max_body_bytes)

    async def read(self) -> None:
        """Reads to the end.

        Raises:
            Problem: 413 too large, 408 too slow.
        """
        limit = self._rules.max_body_bytes
        if self.declared > limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._rules.body_timeout_s):
                while not self._complete and not self.gone:
                    self._chunks.append(await self._next())
                    self.size += len(self._chunks[-1])
                    if self.size > limit:
                        self._chunks.clear()
                        raise self._too_large()
        except TimeoutError as error:
            self._complete = True
            raise Problem(408, f"the body did not arrive within {self._rules.body_timeout_s:g} s") from error

    async def drain(self) -> None:
        """Reads the rest of a refused body and drops it, within limits, so that the client sees the answer."""
        if self._waits_to_send or self.declared > DRAIN_BYTES:
            return
        dropped = self.size
        try:
            async with asyncio.timeout(self._rules.body_timeout_s):
                while not self._complete and not self.gone and dropped <= DRAIN_BYTES:
                    dropped += len(await self._next())
        except TimeoutError:
            return

    async def replay(self) -> Message:
        """Serves as the `receive` of the application: the body in one message, then the client's disconnect."""
        if self._handed_on:
            return await self._receive()
        self._handed_on = True
        return {"type": "http.request", "body": b"".join(self._chunks), "more_body": False}

    async def _next(self) -> bytes:
        message = await self._receive()
        self.gone = message["type"] == "http.disconnect"
        self._complete = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._rules.max_body_bytes:,} bytes; send it in parts")


def _headers(scope: Scope) -> dict[bytes, list[str]]:
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value.decode("latin-1"))
    return headers


def _single(headers: dict[bytes, list[str]], name: bytes, status: int, detail: str) -> str:
    values = headers.get(name, [])
    if len(values) != 1:
        raise Problem(status, detail)
    return values[0]


def _with_security_headers(send: Send) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
            names = {name.lower() for name, _ in given}
            added = [pair for pair in SECURITY_HEADERS if pair[0] not in names]
            if b"cache-control" not in names:
                added.append((b"cache-control", b"no-store"))
            message["headers"] = [*given, *added]
        await send(message)

    return guarded
