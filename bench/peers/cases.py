"""What goes wrong, as records and what must become of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bench.peers import counting
from bench.records import Records


@dataclass(frozen=True)
class Case:
    """One trial.

    Attributes:
        name: as the report has it.
        records: what is produced.
        wanted: the content that must be stored, by id.
        refused: how many records must be set aside, because they can be no row.
        is_killed: SIGKILL comes when about half of the rows are stored; then a restart.
    """

    name: str
    records: Records
    wanted: dict[str, tuple[object, ...]]
    refused: int = 0
    is_killed: bool = False


def plain(made: Records) -> Records:
    """Returns the records without `attributes`: Connect's converter has no type for any object in a jsonb column."""
    return Records(made.keys, [_changed(value, attributes=None) for value in made.values])


def trials(made: Records) -> list[Case]:
    """Returns every trial on these good records."""
    wanted = counting.expected(made.values)
    key, first = made.keys[0], made.values[0]
    broken = _new(first, "broken-json")[:-20]
    against_a_rule = _changed(_new(first, "bad-currency"), currency="euro")
    conflict = _changed(first, amount="1000000.00")
    return [
        Case("not JSON", _with(made, key, [broken]), wanted, refused=1),
        Case("breaks a rule", _with(made, key, [against_a_rule]), wanted, refused=1),
        Case("same id again", _with(made, key, [first]), wanted),
        Case("same id, other content", _with(made, key, [conflict]), wanted, refused=1),
        Case("kill -9", made, wanted, is_killed=True),
    ]


def _with(made: Records, key: bytes, values: list[bytes]) -> Records:
    middle = len(made.values) // 2
    keys = [*made.keys[:middle], *(key for _ in values), *made.keys[middle:]]
    return Records(keys, [*made.values[:middle], *values, *made.values[middle:]])


def _new(value: bytes, name: str) -> bytes:
    return _changed(value, transaction_id=name)


def _changed(value: bytes, **fields: Any) -> bytes:
    """Returns the record with these fields; None leaves a field out."""
    record = {**msgspec.json.decode(value), **fields}
    return msgspec.json.encode({name: given for name, given in record.items() if given is not None})
