"""Makes a file's plan from its beginning, the mapping file and the command line."""

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
NUMBERED_ROWS = 200  # enough rows to tell a row number from a meaningful number


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says. None leaves a decision to the mapping file, and then to the file itself.

    Attributes:
        source: name of the mapping file's section to use, instead of the one whose pattern matches.
        overlap: whether rows that look like stored ones are the ``same`` transactions or ``other`` ones.
    """

    source: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    overlap: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file's plan, and the beginning of the file that it was made from.

    Attributes:
        sample: the content's beginning, already read from the source.
        memory: what is remembered about the file's source; None for a new source.
        memories: the memories of all sources.
        id_rule: what the file's ids are made of.
        overlap: a person's answer about rows that look like stored ones, or None.
        names_id_source: True if a person has said what derived ids start from.
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
    """Reads the beginning of a file and makes its plan, which may still have open questions.

    Args:
        source: the open file. It is read up to the end of the sample.
        settings: where the mapping file is.
        overrides: what the command line says.
        memories: the memories of all sources. A file of one of them is read as its earlier files were.

    Raises:
        ConfigError: the file is empty or has no rows below the header, the mapping names something that the file
            does not have, or the mapping would give stored rows new ids.
    """
    sample = read_sample(source, SAMPLE_BYTES)
    mapping = read_mapping(settings)
    given = _section(source.name, mapping, overrides)
    header = _header(sample, given, source.name) if memories else ()
    memory = recall(memories, given, header, {section.name for section in mapping.sections})
    section = remembered_section(given, memory, header)
    pieces = _further(source, len(sample))
    is_remembered = memory is not None or source.state is not None
    plan = infer(
        sample, source.name, section=section, read_ahead=lambda: next(pieces, b""), is_remembered=is_remembered
    )
    plan = _with_id_columns(remembered_plan(plan, given, memory), given, memory)
    if memory is None:
        plan = _with_day_of_same_ids(plan, memories)
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
    """Returns the names of the columns, found in the first part of the sample."""
    beginning = sample if len(sample) <= HEADER_BYTES else sample[: sample.rfind(b"\n", 0, HEADER_BYTES) + 1] or sample
    return find_dialect(beginning, section.given, file_name)[0].columns


def _with_day_of_same_ids(plan: FilePlan, memories: Sequence[CsvSource]) -> FilePlan:
    """Returns the plan with ids that begin as those of another source with the same start, which may have its rows."""
    same = next((one for one in memories if one.id_source == plan.source and one.id_rule != "columns"), None)
    if same is None or not plan.derives_ids:
        return plan
    day = same.reading.get("id_day")
    return replace(plan, id_day=day if day in plan.id_columns else None)


def _with_id_columns(plan: FilePlan, given: Section, memory: CsvSource | None) -> FilePlan:
    """Returns the plan with the columns for the source's ids: those of stored rows first, then the mapping's."""
    if plan.derives_ids and memory is not None and (memory.rows or not given.id_columns):
        return replace(plan, id_columns=memory.id_columns)
    return replace(plan, id_day=None) if given.id_columns else plan


def read_mapping(settings: PlatformSettings) -> Sources:
    """Reads the mapping file that the settings name. If there is none, the mapping has no sections.

    Raises:
        ConfigError: it cannot be read, or something in it is not valid.
    """
    return read_sources(settings.sources_path)


def refuse_unloadable(file_name: str, planned: PlannedFile) -> None:
    """Raises ConfigError if there are no rows, or if questions are open: with the mapping lines that answer them."""
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
    # Only a short file can be without rows. Its beginning is then the whole file, so any line after the header counts.
    lines = io.StringIO(decode(planned.sample, planned.plan.dialect.encoding), newline="")
    return sum(1 for _ in itertools.islice(lines, planned.plan.dialect.first_data_line)) >= (
        planned.plan.dialect.first_data_line
    )


def _section(file_name: str, sources: Sources, overrides: Overrides) -> Section:
    chosen = sources.section_named(overrides.source) if overrides.source else sources.section_for(file_name)
    return (chosen or Section()).overridden(delimiter=overrides.delimiter, encoding=overrides.encoding)


def _further(source: SourceFile, offset: int) -> Iterator[bytes]:
    """Yields the content after `offset` in pieces, without moving the source. Yields nothing for stdin."""
    if source.state is None:
        return
    look = source.second_look()
    read_sample(look, offset)
    while piece := look.read(PIECE_BYTES):
        yield piece
