"""A file before it is loaded: planned as a load would, by the memory of its source where PostgreSQL answers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from rtp_workers.batch import memory
from rtp_workers.batch.planning import Overrides, PlannedFile, plan_file, read_mapping
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.postgres import csv_sources
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_sources import CsvSource
from rtp_workers.settings import PlatformSettings


@dataclass(frozen=True, slots=True)
class Preview:
    """What a load would make of a file.

    Attributes:
        planned: how it would be read, by its source's memory where there is one.
        compared: PostgreSQL was asked for memories and stored rows.
        remark: one sentence: which memory applies, or why none was looked for.
        contradiction: why a load would stop, as it would say it; empty where it would not.
    """

    planned: PlannedFile
    compared: bool
    remark: str
    contradiction: str = ""


def preview(source: SourceFile, settings: PlatformSettings, overrides: Overrides, dsn: str | None) -> Preview:
    """Plans a file and compares it with what is stored, without a change to anything.

    Args:
        source: the open file, which is read up to the end of its sample.
        settings: where the mapping file is.
        overrides: what the command line says.
        dsn: PostgreSQL, as role rtp_ingest; None where it is not known.

    Raises:
        ConfigError: the file or its section cannot be understood at all.
    """
    with ExitStack() as stack:
        connection, memories, remark = None, list[CsvSource](), ""
        try:
            connection = stack.enter_context(memory.opened(dsn))
            memories = csv_sources.all_sources(connection) if connection is not None else []
        except RtpError as error:
            connection, remark = None, f": {error}"
        planned = plan_file(source, settings, overrides, memories)
        if connection is None:
            why = remark or ", since no PostgreSQL is known here (rtp up starts one)"
            return Preview(planned, False, f"not compared with earlier files of its source{why}")
        if planned.plan.canonical or planned.plan.undecided:
            return Preview(planned, True, _remark(planned))
        names = [section.name for section in read_mapping(settings).sections]
        return _compared(connection, source, planned, names)


def _compared(connection: Connection, source: SourceFile, planned: PlannedFile, names: list[str]) -> Preview:
    try:
        settled = memory.settle(connection, source, planned, names)
    except ConfigError as error:
        return Preview(planned, True, _remark(planned), str(error))
    try:
        memory.refuse_overlap(connection, source, settled)
    except ConfigError as error:
        return Preview(settled.planned, True, _remark(settled.planned), str(error))
    return Preview(settled.planned, True, _remark(settled.planned))


def _remark(planned: PlannedFile) -> str:
    known = planned.memory
    if planned.plan.canonical:
        return "its columns have our own names: it needs no memory of earlier files"
    if known is None:
        kept = ", with the ids that an earlier release gave to its rows" if planned.id_rule == "derived-1" else ""
        return f"the first file of its source{kept}"
    return f"read as {known.learned_from} was ({known.loads:,} files loaded; rtp sources show {known.name})"
