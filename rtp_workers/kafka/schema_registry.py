"""Confluent's Schema Registry: a schema id -> a reader for bodies written with that schema (Avro and JSON Schema)."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import fastavro
import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from fastavro.schema import SchemaParseException

from rtp_workers.errors import AttentionError, ConfigError, RecordError, RtpError, TransientError
from rtp_workers.kafka.avro_numbers import with_exact_types
from rtp_workers.record.documents import read_json
from rtp_workers.settings import PlatformSettings

TIMEOUT_S = 5.0
# Error codes of the registry's API. Any other 404 comes from something that is not a registry.
# https://docs.confluent.io/platform/current/schema-registry/develop/api.html
SCHEMA_NOT_FOUND = 40403
NOT_ALLOWED = frozenset({401, 403})
# An unknown schema may have been registered since.
UNKNOWN_FOR_S = 30.0
UNREADABLE = (EOFError, ValueError, LookupError, TypeError, ArithmeticError, struct.error, RecursionError)

ReadBody = Callable[[bytes], dict[str, Any]]


class SchemaRegistry:
    """Reads schemas from a registry and remembers them. Thread-safe.

    Args:
        url: the registry's address. Several addresses, separated by commas, are tried in turn.
        user: the user for basic authentication, or None.
        password: that user's password.
        client_options: further settings of the client, such as ``ssl.ca.location``.
    """

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        client_options: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        options: dict[str, Any] = {"url": url, "timeout": timeout_s, "max.retries": 0, **(client_options or {})}
        if user is not None:
            options["basic.auth.user.info"] = f"{user}:{password or ''}"
        try:
            self._client = SchemaRegistryClient(options)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                f"the schema registry's settings are not valid: {error}; check RTP_SCHEMA_REGISTRY_URL"
            ) from error
        self._url = _without_password(url)
        self._readers: dict[int, ReadBody] = {}
        self._avro_schemas: dict[int, Any] = {}
        self._refused: dict[int, tuple[float, RecordError]] = {}
        self._lock = threading.Lock()

    def reader(self, schema_id: int) -> ReadBody:
        """Returns a function that reads bodies written with a schema.

        Raises:
            RecordError: the registry knows no such id, or the schema is of a kind that cannot be read.
            TransientError: the registry is away or slow.
            AttentionError: the registry does not let us in, or there is no registry at this address.
        """
        known = self._readers.get(schema_id)
        if known is not None:
            return known
        with self._lock:
            self._raise_refused(schema_id)
            try:
                read = self._readers[schema_id] = self._make_reader(schema_id)
            except RecordError as error:
                self._refused[schema_id] = (time.monotonic() + UNKNOWN_FOR_S, error)
                raise
            return read

    def avro_schema(self, schema_id: int) -> Any:
        """Returns the schema as fastavro parses it; None if it is not Avro. Raises what `reader` raises."""
        self.reader(schema_id)
        return self._avro_schemas.get(schema_id)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _raise_refused(self, schema_id: int) -> None:
        until, error = self._refused.get(schema_id, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise RecordError(error.reason, error.detail)

    def _make_reader(self, schema_id: int) -> ReadBody:
        schema = self._ask(schema_id, lambda: self._client.get_schema(schema_id))
        if schema.schema_type == "JSON":
            return read_json
        if schema.schema_type not in (None, "AVRO"):
            raise RecordError(
                "schema_not_supported",
                f"schema id {schema_id} is {schema.schema_type}; Avro and JSON Schema can be read",
            )
        named: dict[str, Any] = {}
        self._add_references(schema_id, schema, named, set())
        parsed = self._avro_schemas[schema_id] = _parsed(schema_id, schema, named)
        return _avro_reader(schema_id, parsed)

    def _add_references(self, schema_id: int, schema: Schema, named: dict[str, Any], seen: set[Any]) -> None:
        """Parses the schemas that this one refers to, each once, starting with the innermost."""
        for reference in schema.references or ():
            subject, version = str(reference.subject), int(reference.version or 0)
            if (subject, version) in seen:
                continue
            seen.add((subject, version))
            found = self._ask(schema_id, partial(self._version, subject, version))
            self._add_references(schema_id, found, named, seen)
            _parsed(schema_id, found, named)

    def _version(self, subject: str, version: int) -> Schema:
        # Including deleted versions: records that were written with them still exist.
        return self._client.get_version(subject, version, deleted=True).schema

    def _ask(self, schema_id: int, question: Callable[[], Schema]) -> Schema:
        try:
            return question()
        except SchemaRegistryError as error:
            raise self._translated(schema_id, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise TransientError(
                f"the schema registry at {self._url} does not answer ({type(error).__name__}: {error}); "
                "the request is retried, and the topic waits meanwhile"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._no_registry(f"an answer that is not a registry's ({error})") from error

    def _translated(self, schema_id: int, error: SchemaRegistryError) -> RtpError:
        status = error.http_status_code
        if error.error_code == SCHEMA_NOT_FOUND:
            return RecordError(
                "unknown_schema_id", f"schema id {schema_id} is not in the schema registry at {self._url}"
            )
        if status in NOT_ALLOWED:
            return AttentionError(
                f"the schema registry at {self._url} does not let us in (HTTP {status}); check "
                "RTP_SCHEMA_REGISTRY_USER and RTP_SCHEMA_REGISTRY_PASSWORD"
            )
        if status >= 500 or status in (408, 429):
            return TransientError(
                f"the schema registry at {self._url} answers HTTP {status}; the topic waits and asks again"
            )
        return self._no_registry(f"HTTP {status} to a question for schema id {schema_id}")

    def _no_registry(self, answer: str) -> AttentionError:
        return AttentionError(f"the schema registry at {self._url} answers {answer}; check RTP_SCHEMA_REGISTRY_URL")


def registry_of(settings: PlatformSettings) -> SchemaRegistry | None:
    """Returns the registry that the settings name, or None.

    Raises:
        ConfigError: the address is not valid.
    """
    if settings.schema_registry_url is None:
        return None
    password = settings.schema_registry_password
    return SchemaRegistry(
        settings.schema_registry_url,
        settings.schema_registry_user,
        password.get_secret_value() if password is not None else None,
    )


def _parsed(schema_id: int, schema: Schema, named: dict[str, Any]) -> Any:
    try:
        return fastavro.parse_schema(with_exact_types(json.loads(schema.schema_str or "")), named_schemas=named)
    except (SchemaParseException, ValueError, TypeError, LookupError) as error:
        raise RecordError("schema_not_supported", f"schema id {schema_id} is not an Avro schema: {error}") from error


def _avro_reader(schema_id: int, parsed: Any) -> ReadBody:
    read = fastavro.schemaless_reader

    def read_body(body: bytes) -> dict[str, Any]:
        stream = io.BytesIO(body)
        try:
            document = read(stream, parsed, None)
        except UNREADABLE as error:
            raise RecordError(
                "avro_unreadable", f"the value was not written with its schema (id {schema_id}): {error}"
            ) from error
        if stream.tell() != len(body):
            left = len(body) - stream.tell()
            raise RecordError("avro_unreadable", f"{left} bytes are left over after a value of schema id {schema_id}")
        if not isinstance(document, dict):
            raise RecordError("not_an_object", f"schema id {schema_id} does not describe a record, which is needed")
        return document

    return read_body


def _without_password(url: str) -> str:
    return ",".join(
        f"{scheme}://{rest.rpartition('@')[2]}"
        for scheme, _, rest in (part.partition("://") for part in url.split(","))
    )
