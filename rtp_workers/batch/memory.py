"""The memory of a file's source: recalled before the file is planned, compared with the file, and updated from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from rtp_workers.batch import earlier_ids, overlap
from rtp_workers.batch.misread import refuse_garbled_rows
from rtp_workers.batch.overlap import shown
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.probe import Probe, pieces, probe
from rtp_workers.batch.progress import begins_like
from rtp_workers.batch.series import reading_of
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.section_text import section_name
from rtp_workers.postgres import csv_loads, csv_sources
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.csv_sources import CsvSource, Looks, StoredRow

APPLICATION_NAME = "rtp load"
COMPARED_LOOKS = 500
CONTRADICTED_SHARE = 0.1  # share of the first rows that may be refused when read like the source's earlier files


@dataclass(frozen=True, slots=True)
class Settled:
    """A file whose source is known.

    Attributes:
        planned: the file's plan, with its id rule.
        learned: the source's new memory; None for a file with our own columns, which needs none.
        found: some of the file's rows, if they have been looked at.
    """

    planned: PlannedFile
    learned: CsvSource | None
    found: Probe | None = None


@contextmanager
def opened(dsn: str | None) -> Iterator[Connection | None]:
    """Opens a connection for memories; None if no PostgreSQL is known (a load of stdin needs none)."""
    if dsn is None:
        yield None
        return
    connection = connect(dsn, APPLICATION_NAME, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def settle(connection: Connection, source: SourceFile, planned: PlannedFile, names: Sequence[str]) -> Settled:
    """Decides what the file's ids are made of, and refuses a file that contradicts the memory of its source.

    Args:
        connection: role rtp_ingest, in autocommit mode.
        source: the open file. Its position does not change.
        planned: a plan without open questions.
        names: the mapping file's sections: derived ids of earlier versions may start from their names.

    Raises:
        ConfigError: the file contradicts its source's memory; the message has the lines that decide it.
    """
    if planned.plan.canonical:
        return Settled(planned, None)
    planned = earlier_ids.keep_earlier_ids(connection, source, planned, names)
    if planned.memory is not None:
        earlier_ids.refuse_earlier_ids(connection, source, planned, planned.memory, names)
        found = probe(source, planned)
        _refuse_contradictions(source, planned, planned.memory, found)
        return Settled(planned, _learned(source, planned), found)
    return Settled(planned, _learned(source, planned))


def _stored(connection: Connection, found: Probe) -> dict[str, StoredRow]:
    rows: dict[str, StoredRow] = {}
    for ids in pieces([row.transaction_id for row in found.rows]):
        rows.update(csv_sources.stored_rows(connection, ids))
    return rows


def _refuse_contradictions(source: SourceFile, planned: PlannedFile, memory: CsvSource, found: Probe) -> None:
    looked_at = len(found.rows) + found.refused
    if found.refused > CONTRADICTED_SHARE * looked_at:
        raise ConfigError(
            f"{source.name} is not loaded: read as {memory.learned_from} was (rtp sources show {memory.name}), "
            f"{found.refused:,} of its first {counted(looked_at, 'row')} {'is' if found.refused == 1 else 'are'} "
            f"refused, first because of {found.refusal}. If its "
            f'format has changed, say so in a section with files = ["{source.name}"] and id_source = '
            f'"{memory.id_source}"; if it comes from another account, give it an id_source of its own'
        )
    if not planned.plan.dialect.header_line:
        _refuse_numbers_as_names(source, memory, found)
    if planned.plan.derives_ids:
        return
    repeated = overlap.ids_that_repeat(found.rows)
    if repeated is not None:
        column = " and ".join(planned.plan.uses["transaction_id"].columns)
        raise ConfigError(
            f"{source.name} is not loaded: the ids of {memory.learned_from} were taken from {column}, but here "
            f"{repeated[0].transaction_id} stands for different transactions: {shown(repeated)}. Derive the ids of "
            f'both files instead: rtp purge --source {memory.name}, then id = "derived" in their section, and load both'
        )


def _refuse_numbers_as_names(source: SourceFile, memory: CsvSource, found: Probe) -> None:
    """Refuses a file without a header that has numbers where the earlier files had the names of shops."""
    names = [row.merchant for row in found.rows if row.merchant]
    numbers = [name for name in names if not any(map(str.isalpha, name))]
    if 2 * len(numbers) > len(names):
        raise ConfigError(
            f"{source.name} is not loaded: it has no header, and as many columns as {memory.learned_from} (rtp sources "
            f"show {memory.name}). Read as that file was, its merchants would be numbers: {', '.join(numbers[:2])}. If "
            f'its format has changed, say so in a section with files = ["{source.name}"] and id_source = '
            f'"{memory.id_source}"; if it comes from another account, give it an id_source of its own'
        )


def refuse_overlap(connection: Connection, source: SourceFile, settled: Settled) -> None:
    """Refuses a file with rows that cannot be told from stored ones. Call it before the file's first record is sent.

    Raises:
        ConfigError: the file may come from another account than its source's earlier ones, or repeats stored
            transactions under new ids; the message has the lines that decide it.
    """
    planned = settled.planned
    if not planned.plan.derives_ids:
        refuse_garbled_rows(connection, source, planned)
    if planned.plan.canonical:
        return
    found = settled.found or probe(source, planned)
    if not found.rows:
        return
    stored = _stored(connection, found) if planned.plan.derives_ids else {}
    earlier = _earlier_exports(connection, planned, stored) if stored and planned.overlap != "same" else None
    if earlier is not None:
        memory, count_between = earlier
        common = overlap.compare(found, stored, memory, count_between)
        if not common.is_one_series and not _continues(connection, source, planned):
            raise _two_accounts(source, memory, common)
        doubtful = overlap.cut_off(found, common, stored, memory)
        if doubtful:
            raise ConfigError(
                f"{source.name} is not loaded: {shown(doubtful)} on {doubtful[0].day}, where it and an earlier file of "
                f"{memory.name} are both cut off, is stored with another balance or status. If it is the same "
                'transaction, answer overlap = "same" in the section (or --overlap same). If it is another one, load '
                "an export that covers the whole day"
            )
    if not stored and planned.overlap != "other":
        _refuse_repeats(connection, source, planned, found)


def _continues(connection: Connection, source: SourceFile, planned: PlannedFile) -> bool:
    """Tells whether this very file was loaded in part before: with an encoding that did not fit, for example."""
    loads = csv_loads.of_file(connection, source.name)
    return any(begins_like(source, planned.plan.dialect.encoding, load.progress) for load in loads)


def _earlier_exports(
    connection: Connection, planned: PlannedFile, stored: Mapping[str, StoredRow]
) -> tuple[CsvSource, Callable[[str, str], int]] | None:
    """Returns the memory to compare the file with, and a function that counts its rows between two days."""
    if planned.memory is not None:
        return planned.memory, partial(csv_sources.rows_between, connection, planned.memory.load_ids)
    found = earlier_ids.as_memory(connection, list(stored.values()))
    if found is None:
        return None
    names = [f"csv:{name}" for name in found.files]
    return found, partial(csv_sources.unnumbered_between, connection, names)


def _refuse_repeats(connection: Connection, source: SourceFile, planned: PlannedFile, found: Probe) -> None:
    step = -(-len(found.rows) // COMPARED_LOOKS)
    rows = [row for row in found.rows[::step] if row.merchant]
    if not rows:
        return
    looks = [Looks(row.occurred_at, Decimal(row.amount), row.merchant) for row in rows]
    first, last = min(row.occurred_at for row in rows), max(row.occurred_at for row in rows)
    alike = csv_sources.alike(connection, looks, first, last)
    other = overlap.repeats(rows, alike, named=planned.names_id_source)
    if other is not None:
        twice = [rows[at] for at in sorted(alike)]
        raise ConfigError(
            f"{source.name} is not loaded: {len(twice):,} of {counted(len(rows), 'transaction')} look like stored ones "
            f"of {other.removeprefix('csv:')}, under other ids: {shown(twice)}. They would be stored twice. If they "
            f"are the same, undo the earlier import first (rtp purge --file {other.removeprefix('csv:')}). If they are "
            'other transactions, answer overlap = "other" in the section (or --overlap other)'
        )


def _two_accounts(source: SourceFile, memory: CsvSource, common: overlap.Overlap) -> ConfigError:
    others = len(common.file_only) + common.stored_only
    return ConfigError(
        f"{source.name} is not loaded: {len(common.hits):,} of its transactions "
        f"{'is' if len(common.hits) == 1 else 'are'} stored already, from {', '.join(memory.files[:3])}: "
        f"{shown(common.hits)}. But {counted(others, 'other')} of the same days {'is' if others == 1 else 'are'} in "
        f"one file only"
        f"{': ' + shown(common.file_only) if common.file_only else ''}. Is it the same account?\n"
        f'  If it is: overlap = "same" in its section, or rtp load --overlap same\n'
        f'  If it is another account: id_source = "{section_name(source.name)}" in a section with files = '
        f'["{source.name}"], so that equal transactions of both are kept'
    )


def _learned(source: SourceFile, planned: PlannedFile) -> CsvSource:
    plan, memory = planned.plan, planned.memory
    taken = {other.name for other in planned.memories if memory is None or other.name != memory.name}
    name = memory.name if memory is not None else _free_name(plan.section or section_name(source.name), taken)
    return CsvSource(
        name=name,
        section=plan.section,
        id_source=plan.source,
        id_rule=planned.id_rule,
        id_columns=plan.id_columns,
        header=plan.dialect.columns,
        reading=reading_of(plan),
        learned_from=memory.learned_from if memory is not None else source.name,
    )


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
