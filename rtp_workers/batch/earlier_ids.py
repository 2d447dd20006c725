"""Ids of rows that an earlier release has stored. Looking ids up in the table shows which rule made them.

That release derived an id from every cell of a row, prefixed by the section's name or by a fingerprint of the header.
It read most files in a legacy encoding as cp1252. Its rows carry no load number.

Later releases derive ids from the cells that stay the same. At first, such ids did not begin with the row's day.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rtp_workers.batch.overlap import FEWEST_REPEATS, REPEATED_SHARE_OF_A_NAMED_SOURCE, shown
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.probe import Probe, ProbeRow, cells, pieces, probe
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells.texts import recoded
from rtp_workers.mapping.columns.encodings import decodes, has_central_european_header
from rtp_workers.mapping.infer import fingerprint
from rtp_workers.mapping.plan import Dialect, FilePlan, columns_in_fields
from rtp_workers.mapping.toml_text import quoted
from rtp_workers.postgres import csv_loads, csv_sources
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_sources import CsvSource, StoredRow

LOOKED_UP_IDS = 2_000
FEW_IDS = 400  # for what is looked up before every load
# The encodings that the earlier release may have assumed for a file that is not UTF-8, the likeliest first.
LEGACY = ("cp1252", "cp1250", "latin-1", "gb18030", "big5", "shift_jis", "euc_kr", "cp1251")


@dataclass(frozen=True, slots=True)
class EarlierRule:
    """One way in which the earlier release may have derived the ids of a file.

    Attributes:
        start: the text that the ids start from.
        columns: the columns whose cells go into the ids.
        encoding: the encoding in which the cells were read; None if it makes no difference.
    """

    start: str
    columns: tuple[str, ...]
    encoding: str | None

    def applied_to(self, plan: FilePlan) -> FilePlan:
        """Returns the plan, changed to derive ids by this rule."""
        rules = dataclasses.replace(plan.rules, id_rule="derived")
        kept = columns_in_fields(plan.uses, rules) | set(rules.drop)
        return dataclasses.replace(
            plan,
            source=self.start,
            rules=rules,
            attributes=tuple(name for name in plan.dialect.columns if name not in kept),
            id_columns=self.columns,
            id_day=None,
            id_encoding=self.encoding,
        )


def keep_earlier_ids(
    connection: Connection, source: SourceFile, planned: PlannedFile, names: Sequence[str]
) -> PlannedFile:
    """Returns the file with the id rule of its stored rows, if an earlier release has stored some of them.

    Args:
        connection: role rtp_ingest, in autocommit mode.
        source: the open file. Its position does not change.
        planned: a file of a new source, or of a source whose ids are those of the earlier release.
        names: the mapping file's sections: earlier ids may start from their names.

    Raises:
        ConfigError: the ids of the stored rows are the cells of one column, and this file would get derived ids.
    """
    if planned.memory is None:
        planned = _keep_ids_without_day(connection, source, planned)
    memory, plan = planned.memory, planned.plan
    if memory is not None and memory.id_rule == "derived-2":
        return _keep_encoding_of_ids(connection, source, planned, memory)
    if memory is not None and (memory.id_rule != "derived-1" or plan.id_encoding is not None):
        return planned
    if not csv_loads.has_unnumbered(connection):
        return planned
    encodings = _encodings(planned)
    if memory is not None and encodings == [None]:
        return planned
    rows = _spread(cells(source, planned))
    found: EarlierRule | None
    if memory is not None:
        known = [EarlierRule(memory.id_source, memory.id_columns, encoding) for encoding in encodings]
        found = _best(connection, plan, rows, known) or known[0]
    else:
        found = _best(connection, plan, rows, _all_cells(planned, names))
        if found is None and not planned.names_id_source:
            found = _first(connection, plan, rows, names)
    if found is not None:
        return dataclasses.replace(planned, plan=found.applied_to(plan), id_rule="derived-1")
    if planned.overlap != "other":
        if planned.names_id_source:
            _refuse_new_start(connection, source, planned, rows, names)
        elif plan.derives_ids:
            _refuse_ids_of_a_column(connection, source, planned)
    return planned


def _keep_ids_without_day(connection: Connection, source: SourceFile, planned: PlannedFile) -> PlannedFile:
    """Returns the file with ids that do not begin with the day, if rows with such ids are stored (from stdin, say)."""
    plan = dataclasses.replace(planned.plan, id_day=None)
    if planned.plan.id_day is None or not _stored_with(connection, plan, _spread(cells(source, planned))):
        return planned
    return dataclasses.replace(planned, plan=plan)


def _keep_encoding_of_ids(
    connection: Connection, source: SourceFile, planned: PlannedFile, memory: CsvSource
) -> PlannedFile:
    """Returns the file with ids from its texts in the first encoding, if its encoding was corrected since."""
    plan = planned.plan
    read_as = plan.dialect.encoding
    before = [name for name in (memory.reading.get("encoding"), None) if name != read_as]
    encodings = list(dict.fromkeys([plan.id_encoding, *reversed(before)]))
    if len(encodings) == 1 or planned.sample.isascii() or read_as.startswith("utf-16"):
        return planned
    rows = _spread(cells(source, planned))
    hits = {
        encoding: len(_stored_with(connection, dataclasses.replace(plan, id_encoding=encoding), rows))
        for encoding in encodings
    }
    best = max(encodings, key=lambda encoding: hits[encoding])
    return dataclasses.replace(planned, plan=dataclasses.replace(plan, id_encoding=best))


def _stored_with(connection: Connection, plan: FilePlan, rows: list[list[str]]) -> dict[str, StoredRow]:
    """Returns the stored rows with the ids that this plan gives."""
    from rtp_workers.mapping.rows.convert import derived_ids  # not at the top of the file, as there

    ids = derived_ids(plan).ids(rows)
    found: dict[str, StoredRow] = {}
    for some in pieces(ids):
        found.update(csv_sources.stored_rows(connection, some))
    return found


def refuse_earlier_ids(
    connection: Connection, source: SourceFile, planned: PlannedFile, memory: CsvSource, names: Sequence[str]
) -> None:
    """Refuses a file whose source has newer ids, if it repeats rows that an earlier release has stored.

    Raises:
        ConfigError: it repeats such rows; the message has the command that removes them.
    """
    _refuse_ids_without_day(connection, source, planned, memory)
    if memory.id_rule == "derived-1" or not csv_loads.has_unnumbered(connection):
        return
    rows = _spread(cells(source, planned))
    rules = _all_cells(dataclasses.replace(planned, memory=None), names)
    found = _best(connection, planned.plan, rows, rules)
    if found is None:
        return
    stored = _unnumbered(connection, _ids(planned.plan, rows, found))
    files = sorted({row.source.removeprefix("csv:") for row in stored.values()})
    raise ConfigError(
        f"{source.name} is not loaded: an earlier release has stored {len(stored):,} of its rows, from "
        f"{', '.join(files[:3])}, and gave them other ids than {memory.name} has now. They would be stored twice. "
        f"Remove the earlier ones and load their file again first: rtp purge --file {files[0]} --by-name"
    )


def _refuse_ids_without_day(
    connection: Connection, source: SourceFile, planned: PlannedFile, memory: CsvSource
) -> None:
    """Refuses a file if ids of its source begin with the day, but some of its rows are stored with ids that do not."""
    if planned.plan.id_day is None:
        return
    plan = dataclasses.replace(planned.plan, id_day=None)
    stored = _stored_with(connection, plan, _spread(cells(source, planned), FEW_IDS))
    if not stored:
        return
    names = sorted({row.source.removeprefix("csv:") for row in stored.values()})
    raise ConfigError(
        f"{source.name} is not loaded: {counted(len(stored), 'row')} of it are stored already, from "
        f"{', '.join(names[:3])}, with ids that do not begin with the day, as those of {memory.name} do now. They "
        f"would be stored twice. Remove the earlier ones and load their file again first: rtp purge --file {names[0]}"
        + (" --by-name" if any(row.load_id is None for row in stored.values()) else "")
    )


def as_memory(connection: Connection, stored: Sequence[StoredRow]) -> CsvSource | None:
    """Returns the files of the earlier rows as if they were one source to compare with; None if there are none."""
    sources = sorted({row.source for row in stored if row.load_id is None})
    if not sources:
        return None
    files = tuple(name.removeprefix("csv:") for name in sources)
    spans = tuple(csv_sources.unnumbered_spans(connection, sources))
    return CsvSource(files[0], None, "", "derived-1", (), (), {}, files[0], files=files, spans=spans)


def _spread(rows: list[list[str]], most: int = LOOKED_UP_IDS) -> list[list[str]]:
    """Returns rows from both ends, where exports overlap, and some from between."""
    if len(rows) <= most:
        return rows
    edge = most // 4
    between = rows[edge:-edge]
    return rows[:edge] + between[:: -(-len(between) // (2 * edge))] + rows[-edge:]


def _encodings(planned: PlannedFile) -> list[str | None]:
    """Returns the encodings in which the earlier release may have read the file, the likeliest first."""
    dialect, sample = planned.plan.dialect, planned.sample
    if sample.isascii() or dialect.encoding.startswith(("utf-8", "utf-16")):
        return [None]
    usual = sorted(LEGACY, key=lambda name: name != "cp1250") if has_central_european_header(sample) else LEGACY
    found = [name for name in usual if decodes(sample, name)]
    given = [] if dialect.encoding in found else [dialect.encoding]
    return [None if name == dialect.encoding else name for name in found + given]


def _all_cells(planned: PlannedFile, names: Sequence[str], *, every_start: bool = False) -> Iterator[EarlierRule]:
    """Yields the rules that use every cell.

    Args:
        planned: the file.
        names: the mapping file's sections.
        every_start: also try starts other than the `id_source` that a person has given. Another start usually means
            another account.
    """
    plan = planned.plan
    only_given = planned.names_id_source and not every_start
    for encoding in _encodings(planned):
        others = [] if only_given else [fingerprint(_as_earlier(plan.dialect, encoding)), *names]
        for start in dict.fromkeys([plan.source, *others]):
            yield EarlierRule(start, plan.dialect.columns, encoding)


def _without_a_column(plan: FilePlan, names: Sequence[str]) -> Iterator[EarlierRule]:
    """Yields the rules of earlier files that lacked one of the columns."""
    dialect = plan.dialect
    for at in range(len(dialect.columns)):
        header = dialect.header_cells[:at] + dialect.header_cells[at + 1 :]
        columns = dialect.columns[:at] + dialect.columns[at + 1 :]
        before = fingerprint(dataclasses.replace(dialect, columns=columns, header_cells=header))
        for start in dict.fromkeys([before, *names]):
            yield EarlierRule(start, columns, None)


def _as_earlier(dialect: Dialect, encoding: str | None) -> Dialect:
    if encoding is None:
        return dialect
    header = tuple(recoded(cell, dialect.encoding, encoding) for cell in dialect.header_cells)
    return dataclasses.replace(dialect, header_cells=header)


def _best(
    connection: Connection, plan: FilePlan, rows: list[list[str]], rules: Iterator[EarlierRule] | list[EarlierRule]
) -> EarlierRule | None:
    """Returns the rule under which most rows are stored, the first of equal ones; None if there are no such rows."""
    most, best = 0, None
    for rule in rules:
        hits = len(_unnumbered(connection, _ids(plan, rows, rule)))
        if hits > most:
            most, best = hits, rule
    return best


def _first(connection: Connection, plan: FilePlan, rows: list[list[str]], names: Sequence[str]) -> EarlierRule | None:
    return next(
        (rule for rule in _without_a_column(plan, names) if _unnumbered(connection, _ids(plan, rows, rule))),
        None,
    )


def _ids(plan: FilePlan, rows: list[list[str]], rule: EarlierRule) -> list[str]:
    # Not imported at the top, as in `mapping.rows.convert`.
    from rtp_workers.mapping.rows.convert import derived_ids

    return derived_ids(rule.applied_to(plan)).ids(rows)


def _unnumbered(connection: Connection, ids: list[str]) -> dict[str, StoredRow]:
    """Returns the rows with one of these ids that carry no load number."""
    found: dict[str, StoredRow] = {}
    for some in pieces(ids):
        found.update(csv_sources.stored_rows(connection, some))
    return {key: row for key, row in found.items() if row.load_id is None}


def _refuse_new_start(
    connection: Connection, source: SourceFile, planned: PlannedFile, rows: list[list[str]], names: Sequence[str]
) -> None:
    """Raises ConfigError if a file whose `id_source` is new repeats an earlier export, row by row."""
    found = _best(connection, planned.plan, rows, _all_cells(planned, names, every_start=True))
    if found is None:
        return
    stored = _unnumbered(connection, ids := _ids(planned.plan, rows, found))
    places = [at for at, transaction_id in enumerate(ids) if transaction_id in stored]
    between = places[-1] - places[0] + 1
    if len(places) >= min(FEWEST_REPEATS, len(rows)) and len(places) >= REPEATED_SHARE_OF_A_NAMED_SOURCE * between:
        raise ConfigError(
            f"[{planned.plan.section}] would give {counted(len(places), 'row')} of {source.name} new ids, and store "
            "the same rows a second time: an earlier release has stored them. Keep their ids with id_source = "
            f'"{found.start}" in the section. If they are transactions of another account, answer overlap = '
            '"other" there'
        )


def _refuse_ids_of_a_column(connection: Connection, source: SourceFile, planned: PlannedFile) -> None:
    """Raises ConfigError if the ids of stored rows come from a column that ids would not use now."""
    found = probe(source, planned)
    for column in planned.plan.attributes:
        hits = _same_rows(connection, found, column)
        if hits:
            raise ConfigError(
                f"{source.name} is not loaded: an earlier release has stored {len(hits[0]):,} of its rows, from "
                f"{hits[1].removeprefix('csv:')}, with the cells of {column} as ids: {shown(hits[0])}. With derived "
                "ids they would be stored twice. Either keep those ids: columns.transaction_id = "
                f"{quoted([column])} in the section. Or remove the earlier rows and load their file again first: "
                f"rtp purge --file {hits[1].removeprefix('csv:')} --by-name"
            )


def _same_rows(connection: Connection, found: Probe, column: str) -> tuple[list[ProbeRow], str] | None:
    """Returns the rows whose cell is the id of a stored row with the same time, and that row's source; or None."""
    cells_of = {str((row.attributes or {}).get(column, "")): row for row in found.rows[:LOOKED_UP_IDS]}
    stored = _unnumbered(connection, [cell for cell in cells_of if cell])
    same = {
        key: row for key, row in stored.items() if datetime.fromisoformat(cells_of[key].occurred_at) == row.occurred_at
    }
    if not same:
        return None
    return [cells_of[key] for key in same], next(iter(same.values())).source
