"""A real S3 API over HTTP for tests, and a proxy before it that fails as stores and networks do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

BUCKET = "exports"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "wrong-for-others", "AWS_REGION": "us-east-1"}


@dataclass
class S3:
    """A store with one empty bucket.

    Attributes:
        url: its endpoint.
    """

    url: str

    def put(self, key: str, data: str | bytes) -> str:
        """Writes an object and returns its address."""
        obstore.put(self._client(), key, data.encode() if isinstance(data, str) else data)
        return f"s3://{BUCKET}/{key}"

    def put_many(self, keys: Sequence[str], data: str) -> None:
        """Writes the same content to many objects, without a request for each."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(BUCKET, key, data.encode())

    def get(self, key: str) -> bytes:
        """Returns the content of an object."""
        return bytes(obstore.get(self._client(), key).bytes())

    def delete(self, key: str) -> None:
        """Deletes an object."""
        obstore.delete(self._client(), key)

    def names(self, prefix: str) -> list[str]:
        """Returns the keys of all objects that begin with `prefix`."""
        keys = [meta["path"] for page in obstore.list(self._client()) for meta in page]
        return [key for key in keys if key.startswith(prefix)]

    def environment(self, url: str | None = None) -> dict[str, str]:
        """Returns what a program needs to reach the store, or a proxy before it."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": url or self.url}

    def _client(self) -> S3Store:
        return S3Store(
            BUCKET,
            endpoint=self.url,
            access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region=ENVIRONMENT["AWS_REGION"],
            client_options={"allow_http": True},
        )


@contextmanager
def running_s3(address: str = "127.0.0.1") -> Iterator[S3]:
    """Starts the store on a free port of an address of this machine."""
    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _create_bucket(host, port)
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()


def _create_bucket(host: str, port: int) -> None:
    # Imported here: boto3 takes most of a second.
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name=ENVIRONMENT["AWS_REGION"],
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)


@dataclass(frozen=True)
class Asked:
    """A request that came to the proxy.

    Attributes:
        number: counted from 1 over all requests, those answered with a fault included.
        sent_range: the header Range, such as ``bytes=0-99``; empty without one.
    """

    number: int
    method: str
    path: str
    sent_range: str


@dataclass(frozen=True)
class Fault:
    """What happens to one answer.

    Attributes:
        status: instead of the store's answer, such as 503.
        cut_after_bytes: the connection ends in the middle of the body.
    """

    status: int | None = None
    cut_after_bytes: int | None = None


@dataclass
class FaultyProxy:
    """Hands requests to the store and spoils some of the answers.

    Attributes:
        url: where clients connect.
        asked: every request, in order.
        choose: says for each request what happens to it; may be replaced at any time, and may change the store.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    choose: Callable[[Asked], Fault | None] = lambda asked: None

    def reads(self, key: str) -> list[Asked]:
        """Returns the requests that read an object's content."""
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.endswith(key)]


@contextmanager
def faulty_proxy(target_url: str) -> Iterator[FaultyProxy]:
    """Runs a proxy before the store at `target_url`."""
    proxy, lock = FaultyProxy(), threading.Lock()
    target = target_url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Stays silent."""

        def _hand_on(self) -> None:
            with lock:
                asked = Asked(len(proxy.asked) + 1, self.command, self.path, self.headers.get("Range", ""))
                proxy.asked.append(asked)
            fault = proxy.choose(asked) or Fault()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault.status is not None:
                self._answer(fault.status, [], b"<Error><Code>SlowDown</Code></Error>", fault)
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                found = connection.getresponse()
                self._answer(found.status, found.getheaders(), found.read(), fault)
            finally:
                connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault) -> None:
            kept = [pair for pair in headers if pair[0].lower() not in ("connection", "transfer-encoding", "server")]
            if not any(name.lower() == "content-length" for name, _ in kept):
                kept.append(("Content-Length", str(len(body))))
            self.send_response_only(status)
            for name, value in kept:
                self.send_header(name, value)
            self.end_headers()
            if fault.cut_after_bytes is not None:
                self.wfile.write(body[: fault.cut_after_bytes])
                self.close_connection = True
                return
            self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on  # noqa: N815 - the names that http.server asks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def plain_web_server(folder: Path) -> Iterator[str]:
    """Serves a folder as the simplest of web servers do, without ranges or ETags, and yields its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
