"""What a file is: its plan, from its beginning, the mapping file and what the command line says."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rtp_workers.batch.series import recall, remembered_plan, remembered_section
from rtp_workers.batch.source_file import SourceFile, read_sample
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.columns.dialect import find_dialect
from rtp_workers.mapping.columns.encodings import decode
from rtp_workers.mapping.infer import SAMPLE_BYTES, infer
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.sources import Section, Sources, read_sources
from rtp_workers.postgres.csv_sources import CsvSource, IdRuleName
from rtp_workers.settings import SOURCES_NAME, PlatformSettings

PIECE_BYTES = 1 << 20
HEADER_BYTES = 1 << 16
NUMBERED_ROWS = 200  # so many rows tell a row number from a number that means something


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; None leaves it to the mapping file, and then to the file itself.

    Attributes:
        source: name of the mapping file's section, instead of the one whose pattern fits.
        overlap: what rows are that look like stored ones: ``same`` or ``other``.
    """

    source: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    overlap: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file's plan and the beginning that it was made from.

    Attributes:
        sample: the content's beginning, already read from the source.
        memory: what is remembered of the file's source; None for a new one.
        memories: of all sources.
        id_rule: what its ids are made of.
        overlap: a person's answer to rows that look like stored ones, or None.
        names_id_source: a person has said what derived ids start from.
    """

    plan: FilePlan
    sample: bytes
    memory: CsvSource | None = None
    memories: tuple[CsvSource, ...] = ()
    id_rule: IdRuleName = "columns"
    overlap: str | None = None
    names_id_source: bool = False


def plan_file(
    source: SourceFile, settings: PlatformSettings, overrides: Overrides, memories: Sequence[CsvSource] = ()
) -> PlannedFile:
    """Reads the beginning of a file and finds its plan, which may still have open questions.

    Args:
        source: the open file, which is read up to the end of the sample.
        settings: where the mapping file is.
        overrides: what the command line says.
        memories: of all sources; a file of one of them is read as the earlier ones were.

    Raises:
        ConfigError: empty, no rows below the header, a mapping that names what is not there, or one that would give
            stored rows new ids.
    """
    sample = read_sample(source, SAMPLE_BYTES)
    mapping = read_mapping(settings)
    given = _section(source.name, mapping, overrides)
    header = _header(sample, given, source.name) if memories else ()
    memory = recall(memories, given, header, {section.name for section in mapping.sections})
    section = remembered_section(given, memory, header)
    pieces = _further(source, len(sample))
    plan = infer(sample, source.name, section=section, read_ahead=lambda: next(pieces, b""))
    plan = _with_id_columns(remembered_plan(plan, given, memory), given, memory)
    new_rule: IdRuleName = "derived-2" if plan.derives_ids else "columns"
    return PlannedFile(
        plan,
        sample,
        memory,
        tuple(memories),
        memory.id_rule if memory is not None else new_rule,
        overrides.overlap or given.overlap,
        bool(given.id_source),
    )


def _header(sample: bytes, section: Section, file_name: str) -> tuple[str, ...]:
    """Returns the names of the columns, for which a little of the sample is enough."""
    beginning = sample if len(sample) <= HEADER_BYTES else sample[: sample.rfind(b"\n", 0, HEADER_BYTES) + 1] or sample
    return find_dialect(beginning, section.given, file_name)[0].columns


def _with_id_columns(plan: FilePlan, given: Section, memory: CsvSource | None) -> FilePlan:
    """Returns the plan with the columns that the source's ids are made of: what is stored decides, then the mapping."""
    if plan.derives_ids and memory is not None and (memory.rows or not given.id_columns):
        return replace(plan, id_columns=memory.id_columns)
    return plan


def read_mapping(settings: PlatformSettings) -> Sources:
    """Returns the mapping file of the settings; without one, a mapping without sections.

    Raises:
        ConfigError: it cannot be read, or says what cannot be.
    """
    return read_sources(settings.sources_path)


def refuse_unloadable(file_name: str, planned: PlannedFile) -> None:
    """Raises ConfigError where there are no rows, or with every open question and the mapping lines that answer it."""
    plan = planned.plan
    if not _has_rows(planned):
        header = plan.dialect.delimiter.join(plan.dialect.header_cells)
        raise ConfigError(
            f"{file_name}: there is no row below the header (line {plan.dialect.header_line}: {header[:500]}); "
            "load the file when it is complete"
        )
    if not plan.undecided:
        return
    asked = "\n".join(f"  {question.question}\n    " + "\n    ".join(question.lines) for question in plan.undecided)
    header = plan.dialect.delimiter.join(plan.dialect.header_cells)
    found = f"header on line {plan.dialect.header_line}: {header[:500]}" if header else "no header was found"
    raise ConfigError(
        f"{file_name} is not loaded, because some questions about it are open ({found}).\n{asked}\n"
        f"Add the right lines to a section of {SOURCES_NAME} with files = [{file_name!r}], "
        f"or let `rtp map {file_name}` write one; `rtp load --dry-run {file_name}` shows what was found"
    )


def _has_rows(planned: PlannedFile) -> bool:
    # Only a short file can be without rows, so its beginning is all of it, and any line further on is one.
    lines = io.StringIO(decode(planned.sample, planned.plan.dialect.encoding), newline="")
    return sum(1 for _ in itertools.islice(lines, planned.plan.dialect.first_data_line)) >= (
        planned.plan.dialect.first_data_line
    )


def _section(file_name: str, sources: Sources, overrides: Overrides) -> Section:
    chosen = sources.section_named(overrides.source) if overrides.source else sources.section_for(file_name)
    return (chosen or Section()).overridden(delimiter=overrides.delimiter, encoding=overrides.encoding)


def _further(source: SourceFile, offset: int) -> Iterator[bytes]:
    """Yields the content after `offset` piece by piece, without moving the source; nothing of stdin."""
    if source.state is None:
        return
    look = source.second_look()
    read_sample(look, offset)
    while piece := look.read(PIECE_BYTES):
        yield piece
