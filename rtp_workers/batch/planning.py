"""What a file is: its plan, from its beginning, the mapping file and what the command line says."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from rtp_workers.batch.source_file import SourceFile, read_sample
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.columns.dialect import decode
from rtp_workers.mapping.infer import SAMPLE_BYTES, infer
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.sources import Section, Sources, read_sources
from rtp_workers.settings import PlatformSettings

SOURCES_NAME = "sources.toml"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; None leaves it to the mapping file, and then to the file itself.

    Attributes:
        source: name of the mapping file's section, instead of the one whose pattern fits.
    """

    source: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file's plan and the beginning that it was made from.

    Attributes:
        sample: the content's beginning, already read from the source.
    """

    plan: FilePlan
    sample: bytes


def plan_file(source: SourceFile, settings: PlatformSettings, overrides: Overrides) -> PlannedFile:
    """Reads the beginning of a file and finds its plan, which may still have open questions.

    Raises:
        ConfigError: empty, no rows below the header, or a mapping that names what is not there.
    """
    sample = read_sample(source, SAMPLE_BYTES)
    section = _section(source.name, read_mapping(settings), overrides)
    pieces = _further(source, len(sample))
    plan = infer(sample, source.name, section=section, read_ahead=lambda: next(pieces, b""))
    return PlannedFile(plan, sample)


def read_mapping(settings: PlatformSettings) -> Sources:
    """Returns the mapping file of the settings; without one, a mapping without sections.

    Raises:
        ConfigError: it cannot be read, or says what cannot be.
    """
    return read_sources(settings.sources_file or settings.data_dir / SOURCES_NAME)


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
        f"{file_name} is not loaded, because not all of it is understood ({found}).\n{asked}\n"
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
