"""Avro's numbers as their writer meant them: decimals and times with all of their digits, floats without others.

fastavro calls these readers for a type with the logical type in their names.
https://fastavro.readthedocs.io/en/latest/logical_types.html#custom-logical-types
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastavro.read import LOGICAL_READERS

EXACT = "rtp-exact"
EPOCH = datetime(1970, 1, 1)
_FLOAT = struct.Struct("<f")
_FLOAT_DIGITS = range(6, 10)  # 6 digits always survive a float, and 9 always tell it from its neighbours
_FLOATING = frozenset({"float", "double"})
# Connect's Avro converter writes the name of Debezium's types, and no logical type. Their names, and Avro's own types:
# https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types
_DEBEZIUM = {"io.debezium.data.VariableScaleDecimal": "record", "io.debezium.time.Date": "int"}


def with_exact_types(schema: Any) -> Any:
    """Returns an Avro schema, as parsed JSON, in which the types that are read here have a logical type of their own.

    These are floats and doubles, and Debezium's decimals of any scale and its days.
    """
    if isinstance(schema, str):
        return {"type": schema, "logicalType": EXACT} if schema in _FLOATING else schema
    if isinstance(schema, list):
        return [with_exact_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and (kind in _FLOATING or _DEBEZIUM.get(_connect_name(schema)) == kind):
        return {**schema, "logicalType": EXACT}
    found = {name: with_exact_types(schema[name]) for name in ("items", "values") if name in schema}
    if isinstance(kind, (dict, list)):
        found["type"] = with_exact_types(kind)
    fields = schema.get("fields")
    if isinstance(fields, list):
        found["fields"] = [
            {**field, "type": with_exact_types(field["type"])} if isinstance(field, dict) and "type" in field else field
            for field in fields
        ]
    return {**schema, **found}


def _connect_name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("connect.name") or f"{schema.get('namespace')}.{schema.get('name')}")


def _exact_decimal(data: Any, writer_schema: Any = None, reader_schema: Any = None) -> Decimal:
    """Reads a decimal with all of its digits.

    fastavro's own rounds to the schema's precision, which it keeps in one context for all threads: two topics that are
    read at once would round each other's amounts.
    """
    return _scaled(data, writer_schema.get("scale", 0))


def _variable_decimal(value: Mapping[str, Any], writer_schema: Any = None, reader_schema: Any = None) -> Decimal:
    return _scaled(value["value"], value["scale"])


def _scaled(data: bytes, scale: int) -> Decimal:
    number = int.from_bytes(data, "big", signed=True)
    return Decimal((number < 0, tuple(map(int, str(abs(number)))), -scale))


def _day(days: int, writer_schema: Any = None, reader_schema: Any = None) -> date | int:
    try:
        return EPOCH.date() + timedelta(days=days)
    except OverflowError:
        return days


def _exact_double(value: float, writer_schema: Any = None, reader_schema: Any = None) -> float | str:
    """Returns the number; what JSON has no number for becomes a text, as in PostgreSQL's own conversion to jsonb."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _exact_float(value: float, writer_schema: Any = None, reader_schema: Any = None) -> float | str:
    """Returns the number with the fewest digits that is this 32-bit float: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return _exact_double(value)
    shortest = (float(f"{value:.{digits}g}") for digits in _FLOAT_DIGITS)
    return next(number for number in shortest if _FLOAT.unpack(_FLOAT.pack(number))[0] == value)


def _local_nanos(nanos: int, writer_schema: Any = None, reader_schema: Any = None) -> str:
    """Returns nanoseconds since 1970 as a text. Python's own times end at microseconds."""
    seconds, fraction = divmod(nanos, 1_000_000_000)
    text = (EPOCH + timedelta(seconds=seconds)).isoformat()
    return f"{text}.{fraction:09d}" if fraction else text


def _utc_nanos(nanos: int, writer_schema: Any = None, reader_schema: Any = None) -> str:
    return f"{_local_nanos(nanos)}Z"


LOGICAL_READERS["long-timestamp-nanos"] = _utc_nanos
LOGICAL_READERS["long-local-timestamp-nanos"] = _local_nanos
LOGICAL_READERS["bytes-decimal"] = LOGICAL_READERS["fixed-decimal"] = _exact_decimal
LOGICAL_READERS[f"record-{EXACT}"] = _variable_decimal
LOGICAL_READERS[f"int-{EXACT}"] = _day
LOGICAL_READERS[f"double-{EXACT}"] = _exact_double
LOGICAL_READERS[f"float-{EXACT}"] = _exact_float
