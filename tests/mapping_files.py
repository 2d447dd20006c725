"""Loads a foreign file the way ``rtp load`` does, without Kafka: bytes -> plan -> JSON records."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.batch.rows import RefusedRow
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.sources import Section, Sources, sources_from
from rtp_workers.postgres.csv_loads import Progress


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load of the whole file would send, and what it would refuse."""

    plan: FilePlan
    records: list[dict[str, Any]]
    refused: list[RefusedRow]


def sources(toml: dict[str, Any]) -> Sources:
    """Returns the sections of a parsed mapping file."""
    return sources_from(toml, "sources.toml")


def load_all(data: bytes, name: str = "file.csv", mapping: Sources | Section | None = None) -> Loaded:
    """Converts the whole file; its plan must be decided."""
    plan = plan_of(data, name, mapping)
    assert not plan.undecided, plan.undecided
    chunks = ChunkReader(BlockReader(io.BytesIO(data), plan.dialect.encoding), plan, Progress())
    records, refused = [], []
    for chunk in chunks.chunks():
        records += [json.loads(value) for value in chunk.encoded.values]
        refused += chunk.encoded.refused
    return Loaded(plan, records, refused)


def plan_of(data: bytes, name: str = "file.csv", mapping: Sources | Section | None = None) -> FilePlan:
    """Infers the plan of a file that is all in memory."""
    if isinstance(mapping, Section):
        return infer(data, name, section=mapping)
    return infer(data, name, mapping)


def csv_of(*lines: str) -> bytes:
    """Returns lines as a UTF-8 file."""
    return ("\n".join(lines) + "\n").encode()


def asked(data: bytes, **mapping: Any) -> dict[str, tuple[str, ...]]:
    """Returns what is asked about a file: field -> the lines of the answer."""
    plan = plan_of(data, mapping=Section(**mapping))
    return {question.field: question.lines for question in plan.undecided}
