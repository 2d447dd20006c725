"""The guard and the server on real sockets, around an application that only echoes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr

from rtp_workers.errors import ConfigError
from rtp_workers.producer.api import PAGE
from rtp_workers.settings import ProducerSettings, load
from rtp_workers.web.api import ApiParts, new_api
from rtp_workers.web.events import EventFeed
from rtp_workers.web.guard import GuardRules, rules_of
from rtp_workers.web.server import GRACE_S, BoundedProtocol, WebServer
from tests.waiting import wait_until

HOST = "127.0.0.1"
WORD = "s3cret"
VIEWER = "just-looking"


class Wish(BaseModel):
    number: int


@contextmanager
def serving(rules: GuardRules, page: Path = PAGE) -> Iterator[WebServer]:
    app = new_api(ApiParts("test", "test", page, rules, CollectorRegistry()))
    feed = EventFeed(lambda: {"fine": True}, interval_s=0.05, max_pages=3)

    @app.post("/echo")
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    @app.put("/wish")
    def wish(given: Wish) -> Wish:
        return given

    @app.get("/fault")
    def fault() -> None:
        raise LookupError("secret detail")

    @app.get("/much")
    def much() -> PlainTextResponse:
        return PlainTextResponse("x" * 50_000_000)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return feed.response()

    server = WebServer(app, HOST, 0, port_setting="RTP_PRODUCER_PORT")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving(GuardRules()) as running:
        yield running


@pytest.fixture
def quick_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks of a fifth of a second instead of ten."""
    monkeypatch.setattr(BoundedProtocol, "head_timeout_s", 0.4)
    monkeypatch.setattr(BoundedProtocol, "reader_timeout_s", 0.4)


def call(server: WebServer, method: str, path: str, **options: Any) -> httpx.Response:
    return httpx.request(method, f"http://{HOST}:{server.port}{path}", timeout=30, **options)


def assert_problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["detail"]
    return str(body["detail"])


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8001", "localhost.evil.example", "", "[", "127.0.0.1.nip.io"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_forged_host_is_refused(host: str, method: str, server: WebServer) -> None:
    assert_problem(call(server, method, "/docs", headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:8001", "localhost."])
def test_loopback_names_are_answered_whatever_the_port(host: str, server: WebServer) -> None:
    assert call(server, "GET", "/docs", headers={"Host": host}).status_code == 200


def test_a_missing_or_repeated_host_is_refused(server: WebServer) -> None:
    for head in (b"GET /docs HTTP/1.0\r\n\r\n", b"GET /docs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        with connect(server) as connection:
            connection.sendall(head)
            assert read_all(connection).split(b" ")[1] == b"400"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1"])
def test_a_foreign_page_changes_nothing(origin: str, server: WebServer) -> None:
    assert_problem(call(server, "POST", "/echo", headers={"Origin": origin}), 403)
    assert call(server, "GET", "/docs", headers={"Origin": origin}).status_code == 200


def test_the_services_own_page_and_listed_origins_may_change_things() -> None:
    with serving(GuardRules(origins=frozenset({"https://console.example"}))) as server:
        for origin in (f"http://{HOST}:{server.port}", "https://console.example", "HTTPS://Console.example"):
            assert call(server, "POST", "/echo", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer", "Basic s3cret", "s3cret", "Bearer s3cret0", "Bearer ümlaut"]
)
def test_without_the_token_nothing_is_changed(given: str | None) -> None:
    with serving(GuardRules(token=WORD)) as server:
        headers = {} if given is None else {"Authorization": given.encode("latin-1")}
        answer = call(server, "POST", "/echo", headers=headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert call(server, "GET", "/docs").status_code == 200
        assert call(server, "POST", "/echo", headers={"Authorization": "bearer s3cret"}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/openapi.json", "/events", "/much", "/fault", "/else", "//health/live", "/healthy"])
def test_without_a_token_nothing_is_read(path: str, method: str) -> None:
    with serving(GuardRules(token=WORD, read_token=VIEWER)) as server:
        for given in (None, "Bearer wrong", "Bearer", f"Bearer {VIEWER}0"):
            answer = call(server, method, path, headers={} if given is None else {"Authorization": given})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_pages_and_what_monitors_look_at_stay_open() -> None:
    with serving(GuardRules(token=WORD, read_token=VIEWER)) as server:
        for path in ("/", "/docs", "/favicon.ico", "/metrics", "/static/live.js", "/page/producer.js"):
            assert call(server, "GET", path).status_code == 200
        assert call(server, "POST", "/static/live.js").status_code == 401


def test_a_viewers_token_reads_and_changes_nothing() -> None:
    viewer = {"Authorization": f"Bearer {VIEWER}"}
    with serving(GuardRules(token=WORD, read_token=VIEWER)) as server:
        described = call(server, "GET", "/openapi.json", headers=viewer)
        assert described.json()["paths"]["/much"]["get"]["security"] == [{"bearer": []}]
        assert "security" not in described.json()["paths"]["/metrics"]["get"]
        assert "RTP_READ_TOKEN" in assert_problem(call(server, "POST", "/echo", headers=viewer), 403)
        assert call(server, "GET", "/openapi.json", headers={"Authorization": f"Bearer {WORD}"}).status_code == 200
    with serving(GuardRules(token=WORD)) as server:
        assert_problem(call(server, "GET", "/openapi.json", headers=viewer), 401)


def test_without_a_token_set_everything_is_readable(server: WebServer) -> None:
    assert call(server, "GET", "/openapi.json").status_code == 200
    assert call(server, "POST", "/echo").status_code == 200


def test_a_viewers_token_that_protects_nothing_is_refused() -> None:
    viewer = SecretStr(VIEWER)
    with pytest.raises(ConfigError, match="set without RTP_API_TOKEN"):
        rules_of(load(ProducerSettings, read_token=viewer))
    with pytest.raises(ConfigError, match="the same"):
        rules_of(load(ProducerSettings, read_token=viewer, api_token=viewer))
    assert VIEWER not in repr(rules_of(load(ProducerSettings, read_token=viewer, api_token=SecretStr(WORD))))


def test_settings_become_rules() -> None:
    given = SecretStr("t")
    names = {"allowed_hosts": "Data.Example, data:8001", "allowed_origins": "https://a.example/"}
    rules = rules_of(load(ProducerSettings, bind_host="192.0.2.1", api_token=given, **names))
    assert {"192.0.2.1", "data.example", "data", "localhost"} <= rules.hosts
    assert rules.origins == {"https://a.example"}
    assert rules.token == given.get_secret_value()
    assert "'t'" not in repr(rules)
    assert "0.0.0.0" not in rules_of(load(ProducerSettings, bind_host="0.0.0.0")).hosts


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_10_mb_is_refused(chunked: bool, server: WebServer) -> None:
    body = b"x" * 10_000_000
    content: Any = (body[at : at + 65_536] for at in range(0, len(body), 65_536)) if chunked else body
    assert_problem(call(server, "POST", "/echo", content=content), 413)


def test_a_declared_size_that_is_absurd_is_refused_at_once(server: WebServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert read_all(connection).split(b" ")[1] == b"413"


def test_a_body_within_the_limit_arrives_whole(server: WebServer) -> None:
    assert call(server, "POST", "/echo", content=b"x" * 1_000_000).text == "1000000"


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    with serving(GuardRules(body_timeout_s=0.3)) as server, connect(server) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        assert read_all(connection).split(b" ")[1] == b"408"


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize("first", [b"", b"GET /docs HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_slow_loris_is_closed(first: bytes, server: WebServer) -> None:
    with connect(server) as connection:
        connection.sendall(first)
        assert _dripping_ends(connection)


@pytest.mark.usefixtures("quick_clocks")
def test_a_slow_loris_is_closed_on_a_kept_connection_too(server: WebServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404")
        connection.sendall(b"GET /nothing HTTP/1.1\r\n")
        assert _dripping_ends(connection)


def _dripping_ends(connection: socket.socket) -> bool:
    """Sends a byte of a header now and then; returns whether the server closes within 10 s."""
    deadline = time.monotonic() + 10
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"x")
            if not connection.recv(65_536):
                return True
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


@pytest.mark.usefixtures("quick_clocks")
def test_a_client_that_does_not_read_is_closed(server: WebServer) -> None:
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: not server.connections(), timeout_s=10, what="the connection's end")


def test_a_thousand_idle_connections_do_no_harm(server: WebServer) -> None:
    with ExitStack() as opened:
        for _ in range(1_000):
            opened.enter_context(connect(server))
        wait_until(lambda: server.connections() >= 1_000, what="a thousand connections")
        started_s = time.monotonic()
        assert call(server, "GET", "/docs").status_code == 200
        assert time.monotonic() - started_s < 30


def test_the_number_of_open_pages_is_bounded(server: WebServer) -> None:
    url = f"http://{HOST}:{server.port}/events"
    with ExitStack() as opened, httpx.Client(timeout=60) as client:
        for _ in range(3):
            page = opened.enter_context(client.stream("GET", url))
            assert page.headers["content-type"].startswith("text/event-stream")
        refused = opened.enter_context(client.stream("GET", url))
        assert refused.status_code == 503
        lines = page.iter_lines()
        assert [next(lines) for _ in range(3)] == ["retry: 1000", "", 'data: {"fine":true}']
    wait_until(lambda: _streams(url), what="room after the pages were closed")


def test_an_open_page_does_not_hold_up_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    with serving(GuardRules()) as server, httpx.stream("GET", f"http://{HOST}:{server.port}/events") as page:
        assert page.status_code == 200
        started_s = time.monotonic()
        server.stop()
        assert time.monotonic() - started_s < GRACE_S
    assert not caplog.records


def _streams(url: str) -> bool:
    with httpx.stream("GET", url, timeout=20) as page:
        return page.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/wish", 405),
        ("POST", "/static/base.css", 405),
        ("GET", "/static/../../x", 404),
    ],
)
def test_what_is_not_there_is_a_problem(method: str, path: str, status: int, server: WebServer) -> None:
    assert_problem(call(server, method, path), status)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"number": "x"}', b"\xff\xfe", b'{"number": NaN}', b"[" * 100_000]
)
def test_a_malformed_body_is_a_problem(body: bytes, server: WebServer) -> None:
    answer = call(server, "PUT", "/wish", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400 if len(body) > 1_000 else 422)


def test_a_fault_tells_nothing_of_its_inside(server: WebServer) -> None:
    assert "secret" not in assert_problem(call(server, "GET", "/fault"), 500)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00", b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 70_000]
)
def test_what_is_not_http_is_answered_and_closed(sent: bytes, server: WebServer) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert json.loads(body)["status"] == 400


def test_every_answer_carries_the_security_headers(server: WebServer) -> None:
    for path in ("/", "/docs", "/nothing", "/metrics", "/static/live.js"):
        headers = call(server, "GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_pages_ask_no_other_host(server: WebServer) -> None:
    for path in ("/", "/docs", "/static/base.css", "/static/live.js", "/static/chart.js", "/static/docs.js"):
        text = call(server, "GET", path).text.replace("http://www.w3.org/", "")
        assert "//cdn" not in text
        assert "https://" not in text
        assert "http://" not in text


def test_a_taken_port_names_its_setting(server: WebServer) -> None:
    with pytest.raises(ConfigError, match="RTP_PRODUCER_PORT"):
        WebServer(
            new_api(ApiParts("t", "t", PAGE, GuardRules(), CollectorRegistry())),
            HOST,
            server.port,
            port_setting="RTP_PRODUCER_PORT",
        )
