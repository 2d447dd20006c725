"""Our own parts are asked directly, whatever proxy the environment names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rtp_workers.endpoints import Endpoints
from rtp_workers.local.doctor import apis
from rtp_workers.local.parts import ProgramPart
from rtp_workers.reconcile.status import status
from rtp_workers.web.asking import ask

ROOT = Path(__file__).parents[2]


class Part(BaseHTTPRequestHandler):
    """Answers 200 to health checks, 503 elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/health") else 503)
        self.end_headers()
        self.wfile.write(b"the reason")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def part() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Part) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def behind_a_dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_supervisor_doctor_and_status_reach_a_part(part: HTTPServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{part.server_port}"
    assert ProgramPart("consumer", (), tmp_path, port=part.server_port).live()
    assert [finding.state for finding in apis(Endpoints(consumer_url=url))] == ["ok"]
    assert status(Endpoints(consumer_url=url), "transactions")["consumer"] == {
        "up": True,
        "busy": False,
        "detail": None,
    }


def test_a_bad_answer_is_an_answer_and_none_is_an_error(part: HTTPServer) -> None:
    answer = ask(f"http://127.0.0.1:{part.server_port}/else", 5)
    assert (answer.status, answer.body, answer.ok) == (503, b"the reason", False)
    with pytest.raises(OSError, match="refused"):
        ask("http://127.0.0.1:9/", 5)
    with pytest.raises(OSError, match="not a URL"):
        ask("nonsense", 5)


def test_there_is_one_place_that_asks() -> None:
    files = [*(ROOT / "rtp_workers").rglob("*.py"), *(ROOT / "rtp_dagster").rglob("*.py")]
    asking = {path.name for path in files if "urllib.request" in path.read_text()}
    assert asking == {"asking.py", "webhook.py"}, "alerts go out of the house, through its proxy"
