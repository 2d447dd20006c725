"""Plans a file as a load would, without loading it. If PostgreSQL answers, the memory of its source is used."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from rtp_workers.batch import memory
from rtp_workers.batch.planning import Overrides, PlannedFile, plan_file, read_mapping
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.postgres import csv_sources
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_sources import CsvSource
from rtp_workers.settings import PlatformSettings


@dataclass(frozen=True, slots=True)
class Preview:
    """How a load would read a file.

    Attributes:
        planned: the file's plan, which follows its source's memory if there is one.
        compared: True if PostgreSQL was asked for memories and stored rows.
        remark: one sentence that says which memory applies, or why none was looked for.
        contradiction: the message with which a load would stop; empty if it would not stop.
    """

    planned: PlannedFile
    compared: bool
    remark: str
    contradiction: str = ""


def preview(source: SourceFile, settings: PlatformSettings, overrides: Overrides, dsn: str | None) -> Preview:
    """Plans a file and compares it with the stored rows. Changes nothing.

    Args:
        source: the open file. It is read up to the end of its sample.
        settings: where the mapping file is.
        overrides: what the command line says.
        dsn: PostgreSQL, as role rtp_ingest; None if no PostgreSQL is known.

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
        if planned.plan.undecided:
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
    return f"read as {known.learned_from} was ({counted(known.loads, 'file')} loaded; rtp sources show {known.name})"
