"""A schema registry for tests: the part of Confluent's public HTTP API that readers use, in this process.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro

NOT_FOUND, VERSION_NOT_FOUND = 40403, 40402


@dataclass
class FakeRegistry:
    """What it knows, and how it misbehaves.

    Attributes:
        url: where it listens.
        user, password: asked for in every request once set.
        status: answered to everything instead, e.g. 500; 0 for none.
        delay_s: before each answer.
        asked: paths of the requests that came.
    """

    url: str = ""
    user: str | None = None
    password: str = ""
    status: int = 0
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def add(self, schema: Any, kind: str = "AVRO", references: list[dict[str, Any]] | None = None) -> int:
        """Registers a schema and returns its id."""
        schema_id = len(self.schemas) + 1
        entry = {"schema": json.dumps(schema), "schemaType": kind, "references": references or []}
        self.schemas[schema_id] = entry
        return schema_id

    def add_version(self, subject: str, version: int, schema: Any) -> None:
        """Registers a schema that others refer to."""
        schema_id = self.add(schema)
        self.versions[subject, version] = {
            "subject": subject, "version": version, "id": schema_id, **self.schemas[schema_id],
        }  # fmt: skip

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Returns status and body of one request."""
        self.asked.append(path)
        if self.delay_s:
            self.closing.wait(self.delay_s)
        if self.status:
            return self.status, {"error_code": self.status * 100 + 1, "message": "as the test says"}
        if self.user is not None and authorization != _basic(self.user, self.password):
            return 401, {"error_code": 401, "message": "Unauthorized"}
        return self._found(path.partition("?")[0].strip("/").split("/"))

    def _found(self, parts: list[str]) -> tuple[int, dict[str, Any]]:
        if parts[:2] == ["schemas", "ids"]:
            known = self.schemas.get(int(parts[2]))
            return (200, known) if known else (404, {"error_code": NOT_FOUND, "message": "Schema not found"})
        if parts[0] == "subjects":
            found = self.versions.get((parts[1], int(parts[3])))
            return (200, found) if found else (404, {"error_code": VERSION_NOT_FOUND, "message": "Version not found"})
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}


@contextmanager
def schema_registry() -> Iterator[FakeRegistry]:
    """A registry on a free port, stopped at the end."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = registry.answer(self.path, self.headers.get("Authorization"))
            body = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the client has given up: that is what the test wants

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def framed(schema_id: int, body: bytes) -> bytes:
    """Returns a value in the registry's wire format."""
    return b"\0" + schema_id.to_bytes(4, "big") + body


def avro(schema: Any, document: Any) -> bytes:
    """Returns a document in Avro's binary form, without any frame."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), document)
    return stream.getvalue()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
