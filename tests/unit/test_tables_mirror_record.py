"""The record's declaration and the migration's SQL say the same: adding a field to one only fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rtp_workers.postgres
from rtp_workers.postgres.connection import RECORD_CONSTRAINTS
from rtp_workers.record.transaction import (
    FIELD_NAMES,
    FIELDS,
    MAX_ATTRIBUTES_BYTES,
    MAX_SOURCE_LENGTH,
    PROVENANCE_COLUMNS,
    Field,
)

MIGRATIONS = Path(rtp_workers.postgres.__file__).parent / "migrations"
SQL = (MIGRATIONS / "0001_foundation.sql").read_text()
LATER = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))[1:])
ADDED = ";".join(re.findall(r"^alter table transactions\s+(add .*?);", LATER, re.M | re.S))
TABLE = SQL[SQL.index("create table transactions (") : SQL.index("\n);")]
FOUNDED = dict(re.findall(r"^    (\w+) +((?:text|timestamptz|numeric|jsonb|integer|bigint)[^,\n]*),?$", TABLE, re.M))
COLUMNS = FOUNDED | dict(re.findall(r"add column (\w+) ([^,;\n]+)", ADDED))
CHECKS = {
    name: " ".join(text.split())
    for name, text in re.findall(r"constraint (\w+) check \(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", TABLE + ADDED)
}


def expected_column(field: Field) -> str:
    collation = ' collate "C"' if field.rule.pg_type == "text" else ""
    return field.rule.pg_type + collation + (" not null" if field.required else "")


def expected_checks(field: Field) -> dict[str, str]:
    rule, name = field.rule, field.name
    checks = {}
    if rule.pattern is not None:
        checks[f"{name}_code"] = f"{name} ~ '^{rule.pattern}$'"
    elif rule.max_length is not None and rule.min_length:
        checks[f"{name}_length"] = f"length({name}) between {rule.min_length} and {rule.max_length}"
    elif rule.max_length is not None:
        checks[f"{name}_length"] = f"length({name}) <= {rule.max_length}"
    if not rule.controls:
        checks[f"{name}_no_controls"] = f"{name} !~ U&'[\\0001-\\001F\\007F-\\009F]'"
    return checks


def test_columns_are_the_fields_in_order_then_the_provenance() -> None:
    """A field that was added later has its column at the end of the table: PostgreSQL puts it nowhere else."""
    founded = tuple(name for name in FIELD_NAMES if name in FOUNDED)
    assert tuple(FOUNDED)[: len(founded)] == founded
    assert set(COLUMNS) == {*FIELD_NAMES, *PROVENANCE_COLUMNS, "ingested_at"}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_has_the_type_and_nullability_of_its_declaration(field: Field) -> None:
    assert COLUMNS[field.name] == expected_column(field)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_has_the_checks_of_its_rule(field: Field) -> None:
    for name, expression in expected_checks(field).items():
        assert CHECKS[name] == expression


def test_there_is_no_check_without_a_rule() -> None:
    of_rules = {name for field in FIELDS for name in expected_checks(field)}
    of_types = {"occurred_at_range", "amount_range", "attributes_object", "attributes_size"}
    assert set(CHECKS) == of_rules | of_types | {"source_length"}


def test_sizes_that_the_record_states_in_code_are_those_of_the_table() -> None:
    assert CHECKS["attributes_size"] == f"octet_length(attributes::text) <= {MAX_ATTRIBUTES_BYTES}"
    assert CHECKS["source_length"] == f"length(source) <= {MAX_SOURCE_LENGTH}"


def test_every_check_of_a_field_is_the_records_fault_when_violated() -> None:
    assert set(RECORD_CONSTRAINTS) == set(CHECKS) - {"source_length"}
    assert set(RECORD_CONSTRAINTS.values()) <= set(FIELD_NAMES)


def test_no_check_depends_on_a_session_setting() -> None:
    """A timestamp literal without its offset would mean another instant in another session's time zone."""
    literals = re.findall(r"timestamptz '([^']*)'", TABLE)
    assert literals
    assert all(literal.endswith("+00") for literal in literals)
