"""The records of a run as somebody else's topic has them: nested, under other names, as JSON and as Avro."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fastavro
import msgspec

from bench.records import Records
from rtp_workers.record.transaction import Transaction

SECTION = """
[payments]
topics = ["*"]
columns.transaction_id = "id"
columns.occurred_at = "created"
columns.amount = "payment.amount.value"
columns.currency = "payment.amount.currency"
columns.payment_method = "payment.method"
columns.customer_id = "customer.id"
columns.merchant = "merchant.name"
columns.category = "merchant.category"
columns.country = "merchant.country"
columns.status = "status"
"""
_OPTIONAL = ["null", "string"]
SCHEMA = {"type": "record", "name": "Payment", "fields": [
    {"name": "id", "type": "string"},
    {"name": "created", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "payment", "type": {"type": "record", "name": "Paid", "fields": [
        {"name": "amount", "type": {"type": "record", "name": "Money", "fields": [
            {"name": "value", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4}},
            {"name": "currency", "type": _OPTIONAL},
        ]}},
        {"name": "method", "type": _OPTIONAL},
    ]}},
    {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [{"name": "id", "type": _OPTIONAL}]}},
    {"name": "merchant", "type": {"type": "record", "name": "Merchant", "fields": [
        {"name": name, "type": _OPTIONAL} for name in ("name", "category", "country")
    ]}},
    {"name": "status", "type": _OPTIONAL},
    {"name": "extra", "type": ["null", {"type": "map", "values": "string"}]},
]}  # fmt: skip


def json_records(made: Records) -> Records:
    """Returns the records as plain JSON; amounts are numbers."""
    values = [msgspec.json.encode(document) for document in _documents(made)]
    return Records(made.keys, values)


def avro_records(made: Records) -> Records:
    """Returns the records as Avro in the registry's wire format, with schema id 1."""
    parsed = fastavro.parse_schema(SCHEMA)
    values = []
    for document in _documents(made):
        document["created"] = datetime.fromisoformat(document["created"])
        document["payment"]["amount"]["value"] = Decimal(bytes(document["payment"]["amount"]["value"]).decode())
        stream = io.BytesIO(b"\0\0\0\0\1")
        stream.seek(5)
        fastavro.schemaless_writer(stream, parsed, document)
        values.append(stream.getvalue())
    return Records(made.keys, values)


@contextmanager
def registry() -> Iterator[str]:
    """Answers every question for a schema with `SCHEMA`; yields where."""
    answer = json.dumps({"schema": json.dumps(SCHEMA)}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _documents(made: Records) -> Iterator[dict[str, Any]]:
    decode = msgspec.json.Decoder(Transaction).decode
    for value in made.values:
        record = decode(value)
        yield {
            "id": record.transaction_id,
            "created": record.occurred_at,
            "payment": {
                "amount": {"value": msgspec.Raw(record.amount.encode()), "currency": record.currency},
                "method": record.payment_method,
            },
            "customer": {"id": record.customer_id},
            "merchant": {"name": record.merchant, "category": record.category, "country": record.country},
            "status": record.status,
            "extra": record.attributes,
        }
