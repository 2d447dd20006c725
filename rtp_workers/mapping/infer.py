"""The beginning of a file -> its FilePlan. Pure; takes about a second at most."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells.affixes import Affix
from rtp_workers.mapping.cells.words import looks_like_balance_line
from rtp_workers.mapping.columns.dialect import find_dialect
from rtp_workers.mapping.columns.encodings import decode, lines_in_utf8
from rtp_workers.mapping.columns.find_affix import without_affix
from rtp_workers.mapping.columns.find_amount import find_amount
from rtp_workers.mapping.columns.find_fields import find_fields
from rtp_workers.mapping.columns.find_id import find_id
from rtp_workers.mapping.columns.find_time import find_time
from rtp_workers.mapping.columns.find_volatile import find_volatile
from rtp_workers.mapping.columns.findings import Findings, languages_of
from rtp_workers.mapping.columns.placeholders import without_placeholders
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.columns.sample_rows import Row, escaped_rows_of, physical_lines, rows_of
from rtp_workers.mapping.plan import Dialect, FilePlan, Question, Rules, columns_in_fields
from rtp_workers.mapping.rows.instants import TWICE, Instants, NoInstantError
from rtp_workers.mapping.sources import Section, Sources
from rtp_workers.record.forms import INSTANT
from rtp_workers.record.transaction import FIELD_NAMES

SAMPLE_BYTES = 4 << 20
PROFILED_ROWS = 5_000
READ_AHEAD_S = 0.5
MAX_DATES = 20_000
GIVEN_RULES = (
    *("date_format", "time_zone", "epoch_unit", "step_origin", "step_unit", "amount_unit"),
    *("round_to", "year", "ambiguous", "id_prefix"),
)
TWICE_LINES = ('ambiguous = "earlier"', '# ambiguous = "later"', '# ambiguous = "refuse"')
REQUIRED_NAMES = frozenset({"transaction_id", "occurred_at", "amount"})


def infer(
    sample: bytes,
    file_name: str,
    sources: Sources | None = None,
    *,
    section: Section | None = None,
    read_ahead: Callable[[], bytes] | None = None,
    is_remembered: bool = True,
) -> FilePlan:
    """Finds the mapping of a file.

    Args:
        sample: the file's beginning, decompressed: SAMPLE_BYTES, or the whole file.
        file_name: the name that the mapping's patterns are compared with, and that errors mention.
        sources: the mapping file. The first section whose pattern matches the name applies.
        section: use this section instead. It already includes overrides from the command line.
        read_ahead: returns the next piece of the file, ``b""`` at its end. Called only while the order of day and
            month is open.
        is_remembered: False if PostgreSQL will not keep how the file is read, as for stdin. Its ids are then made as
            they were in every release: nothing else would keep the ids of stored rows.

    Raises:
        ConfigError: the file is empty, or the mapping names something that the file does not have.
    """
    section = section or (sources.section_for(file_name) if sources else None) or Section()
    dialect, rows = find_dialect(sample, section.given, file_name)
    if not dialect.columns:
        raise ConfigError(f"{file_name}: no rows of cells were found; give the delimiter or the header_line")
    _check_columns(section, dialect, file_name)
    if _is_canonical(dialect, rows, section):
        strict = replace(dialect, fewest_cells=0, most_cells=0)
        return FilePlan(strict, section.name, section.name or None, {}, Rules(), canonical=True)
    found = _search(section, dialect, rows, read_ahead, is_remembered=is_remembered)
    if not any(len(row.cells) == dialect.row_width and not row.is_blank for row in rows):
        found.notes.append("the file has a header but no rows")
    _ask_which_table(found, dialect)
    if section.encoding is None:
        _ask_about_encodings(found, dialect, sample)
    plan = _plan(found, dialect)
    return plan if section.ambiguous is not None else _with_twice_open(plan, found)


def infer_columns(section: Section, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> FilePlan:
    """Finds the mapping of named columns that do not come from a file, such as the values of a topic's documents.

    Args:
        section: what is known already.
        columns: the names of the columns.
        rows: rows with one cell per column.
    """
    dialect = Dialect("utf-8", ",", '"', 1, 2, tuple(columns), tuple(columns))
    numbered = [Row(line, list(cells)) for line, cells in enumerate(rows, start=2)]
    return _plan(_search(section, dialect, numbered, None), dialect)


def _search(
    section: Section,
    dialect: Dialect,
    rows: Sequence[Row],
    read_ahead: Callable[[], bytes] | None,
    *,
    is_remembered: bool = True,
) -> Findings:
    profiles, languages = _profiles(dialect, rows, section.affix), languages_of(dialect.header_cells)
    found = _begin(profiles, section, languages)
    if "direction" in section.columns:
        find_amount(found)
    find_time(found, _cells_ahead(found, dialect, rows, None))
    if read_ahead is not None and found.is_open("day_order"):
        found = _begin(profiles, section, languages)
        find_time(found, _cells_ahead(found, dialect, rows, read_ahead))
    if "amount" not in found.uses and "debit" not in found.uses:
        find_amount(found)
    find_fields(found)
    found.is_remembered = is_remembered
    find_id(found, canonical_name="transaction_id" in dialect.columns)
    return found


def _ask_which_table(found: Findings, dialect: Dialect) -> None:
    if dialect.other_headers:
        lines = sorted([dialect.header_line, *dialect.other_headers])
        found.ask(
            "occurred_at",
            f"the file has several tables, with headers on lines {', '.join(map(str, lines))}; which one is loaded",
            *(f"# header_line = {line}" for line in lines),
        )

    elif dialect.rows_above:
        count, first = len(dialect.rows_above), dialect.rows_above[0]
        found.ask(
            "occurred_at",
            f"{counted(count, 'line')} above the header on line {dialect.header_line} look like transactions (from "
            f"line {first} on); they are not loaded. To load them, remove the lines that divide the file",
            f"# header_line = {dialect.header_line}  # only what is below",
        )


def _ask_about_encodings(found: Findings, dialect: Dialect, sample: bytes) -> None:
    """Asks if some lines of the file are UTF-8 and others are not: read in one encoding, the others lose letters."""
    lines = lines_in_utf8(sample, dialect.encoding)
    if lines:
        listed = ", ".join(map(str, lines[:3])) + (", ..." if len(lines) > 3 else "")
        found.ask(
            "encoding",
            f"{counted(len(lines), 'line')} of the file ({listed}) are UTF-8, others are {dialect.encoding}; write the "
            "file in one encoding",
            '# encoding = "utf-8"  # refuses the other lines',
            f'# encoding = "{dialect.encoding}"  # stores wrong letters from these lines',
            kind="encoding",
        )


def _begin(profiles: tuple[Profile, ...], section: Section, languages: frozenset[str]) -> Findings:
    """Returns findings in which the columns that the mapping names or drops are not free."""
    found = Findings(profiles, section, languages)
    named = {name for names in section.columns.values() for name in names} | set(section.drop)
    found.taken.update(profile.index for profile in profiles if profile.name in named)
    _take_attributes(found)
    return found


def _profiles(dialect: Dialect, rows: Sequence[Row], given: Affix | None) -> tuple[Profile, ...]:
    header = [cell.strip() for cell in dialect.header_cells]
    ordinary = (
        row.cells
        for row in rows
        if len(row.cells) == dialect.row_width and not row.is_blank and [cell.strip() for cell in row.cells] != header
    )
    usual = _without_sparse(list(islice(ordinary, PROFILED_ROWS)))
    profiles = (
        without_placeholders(Profile(name, index, [row[index].strip() for row in usual]))
        for index, name in enumerate(dialect.columns)
    )
    return tuple(without_affix(profile, given) for profile in profiles)


def _without_sparse(rows: list[list[str]]) -> list[list[str]]:
    """Leaves out balance lines and similar rows: they fill at most a third of the cells that rows usually fill."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    usual = statistics.median(filled) if filled else 0
    full = [row for row, count in zip(rows, filled, strict=True) if count * 3 > usual]
    return [row for row in full if not _begins_like_a_balance(row)] or full


def _begins_like_a_balance(row: list[str]) -> bool:
    return looks_like_balance_line(next((cell.strip() for cell in row if cell.strip()), ""))


def _cells_ahead(
    found: Findings, dialect: Dialect, rows: Sequence[Row], read_ahead: Callable[[], bytes] | None
) -> dict[str, list[str]]:
    """Returns every cell of the columns that may hold dates, from the sample and from what is read ahead."""
    until = time.monotonic() + READ_AHEAD_S
    places = {profile.name: profile.index for profile in found.profiles if profile.dates >= 0.4}
    cells: dict[str, set[str]] = {name: set() for name in places}
    piece: Sequence[Row] = rows
    rest = b""
    while True:
        usual = [row.cells for row in piece if len(row.cells) == dialect.row_width]
        for name, at in places.items():
            if len(cells[name]) < MAX_DATES:
                cells[name].update(row[at] for row in usual)
        data = read_ahead() if read_ahead is not None and time.monotonic() < until else b""
        if not data:
            return {name: sorted(values) for name, values in cells.items()}
        whole, _, rest = (rest + data).rpartition(b"\n")
        text = decode(whole, dialect.encoding)
        if dialect.escapes:
            piece = escaped_rows_of(text, dialect.delimiter, dialect.quotechar)
        else:
            piece = rows_of(physical_lines(text), dialect.delimiter, dialect.quotechar)


def _take_attributes(found: Findings) -> None:
    """Takes a column called ``attributes`` that holds JSON objects as the record's own field."""
    for profile in found.profiles:
        if profile.name == "attributes" and profile.share(lambda cell: cell[:1] == "{" and cell[-1:] == "}") == 1.0:
            found.take("attributes", [profile], 1.0, "name (the field's own)")


def _check_columns(section: Section, dialect: Dialect, file_name: str) -> None:
    wanted = (
        {name for names in section.columns.values() for name in names} | set(section.drop) | set(section.id_columns)
    )
    missing = sorted(wanted - set(dialect.columns))
    if missing:
        raise ConfigError(
            f"{file_name}: the mapping [{section.name}] names columns that are not there: {', '.join(missing)}; "
            f"it has: {', '.join(dialect.columns)}"
        )


def _is_canonical(dialect: Dialect, rows: Sequence[Row], section: Section) -> bool:
    names = set(dialect.columns)
    if (
        not (REQUIRED_NAMES <= names <= set(FIELD_NAMES))
        or len(names) != len(dialect.columns)
        or not dialect.header_line
    ):
        return False
    if (
        section.columns
        or section.constants
        or section.amount_unit
        or section.sign
        or section.date_format
        or section.drop
    ):
        return False
    where = dialect.columns.index("occurred_at")
    cells = [row.cells[where] for row in rows[:200] if len(row.cells) == dialect.row_width and row.cells[where]]
    fitting = sum(INSTANT.fullmatch(cell) is not None for cell in cells)
    how_much = dialect.columns.index("amount")
    sums = [row.cells[how_much] for row in rows[:200] if len(row.cells) == dialect.row_width and row.cells[how_much]]
    plain = sum(cell.lstrip("-").replace(".", "", 1).isdigit() for cell in sums)
    return fitting * 2 >= len(cells) and plain * 2 >= len(sums)


def _plan(found: Findings, dialect: Dialect) -> FilePlan:
    section = found.section
    rules = _rules(found)
    if _uses_default_zone(found):
        zone = section.time_zone or "UTC"
        found.notes.append(
            f"times without an offset are read as {zone}" + ("" if section.time_zone else " (time_zone)")
        )
    if rules.time_zone != "UTC" and "epoch_unit" not in found.rules:
        given = f"read as the {rules.ambiguous} instant" if rules.ambiguous != "refuse" else "refused"
        found.notes.append(f"local times that clocks show twice or not at all are {given} (ambiguous)")
    stored = columns_in_fields(found.uses, rules) | set(section.drop)
    return FilePlan(
        dialect=dialect,
        source=section.id_source or section.name or fingerprint(dialect),
        section=section.name or None,
        uses=dict(sorted(found.uses.items(), key=lambda item: _role_order(item[0]))),
        rules=rules,
        attributes=tuple(profile.name for profile in found.profiles if profile.name not in stored),
        id_columns=(id_columns := _id_columns(found)),
        id_day=_id_day(found, id_columns),
        undecided=tuple(found.undecided),
        notes=tuple(found.notes),
    )


def _with_twice_open(plan: FilePlan, found: Findings) -> FilePlan:
    """Asks about local times that occur twice, if the mapping does not say which of the two instants they mean.

    The order of the rows does not decide: a row must mean the same instant in an export with another order.
    """
    if plan.undecided or (plan.rules.time_zone == "UTC" and "time_zone" not in plan.uses):
        return plan
    refusing = Instants(replace(plan, rules=replace(plan.rules, ambiguous="refuse")))
    try:
        answers = refusing.read([found.profiles[at].cells for at in refusing.columns])
    except ConfigError:
        answers = []  # the beginning has no dates that can be read so far
    twice = (one for one in answers if isinstance(one, NoInstantError) and one.reason == TWICE)
    first = next(twice, None)
    if first is None:
        return replace(plan, rules=replace(plan.rules, open_rules=(*plan.rules.open_rules, "ambiguous")))
    question = Question("occurred_at", f"{first}; which of the two instants is it?", TWICE_LINES)
    return replace(plan, undecided=(question,))


def _role_order(role: str) -> int:
    return FIELD_NAMES.index(role) if role in FIELD_NAMES else 2 if role in ("debit", "credit", "direction") else 1


def _rules(found: Findings) -> Rules:
    section, rules = found.section, dict(found.rules)
    for key in GIVEN_RULES:
        if (value := getattr(section, key)) is not None:
            rules[key] = value
    if section.first_month is not None:
        rules["year_from"] = section.first_month
    if section.sign == "negate" and rules.get("sign", "as_is") == "as_is":
        rules["sign"] = "negate"
    return Rules(
        **rules,
        constants=dict(section.constants),
        skip_rows=section.skip_rows,
        drop=section.drop,
        debit_words=section.debit_words,
        credit_words=section.credit_words,
        neutral_words=section.neutral_words,
    )


def _uses_default_zone(found: Findings) -> bool:
    if {"epoch_unit", "time_zone"} & found.rules.keys() or {"time_zone", "step"} & found.uses.keys():
        return False
    if found.section.epoch_unit is not None:
        return False
    columns = [
        name for role in ("occurred_at", "date", "time") if role in found.uses for name in found.uses[role].columns
    ]
    cells = [cell for name in columns for cell in found.profile(name).cells[:50]]
    return not any(INSTANT.fullmatch(cell) for cell in cells)


def _id_columns(found: Findings) -> tuple[str, ...]:
    """Returns the columns that derived ids are made of: the mapping's, or all that stay the same in every export."""
    if found.rules["id_rule"] != "derived":
        return ()
    left_out = find_volatile(found)
    return found.section.id_columns or tuple(one.name for one in found.profiles if one.name not in left_out)


def _id_day(found: Findings, id_columns: tuple[str, ...]) -> str | None:
    """Returns the column whose day derived ids begin with: that of the date, if ids are made of it at all.

    Columns that the mapping names by hand are for ids that stay the same, however the file is read.
    """
    if found.section.id_columns or not found.is_remembered:
        return None
    columns = [name for role in ("occurred_at", "date") if role in found.uses for name in found.uses[role].columns]
    return next((name for name in columns if name in id_columns), None)


def fingerprint(dialect: Dialect) -> str:
    """Returns the text that ids of an unmapped source start from. It is the same for every file with these columns."""
    text = "\x1f".join(cell.strip() for cell in dialect.header_cells) or f"{dialect.row_width} columns"
    return "columns-" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
