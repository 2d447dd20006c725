"""Finds the encoding, delimiter and header row of a file from its beginning."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells import amounts, dates
from rtp_workers.mapping.cells.names import compact
from rtp_workers.mapping.columns.encodings import decode, find_encoding
from rtp_workers.mapping.columns.other_tables import other_headers, rows_above
from rtp_workers.mapping.columns.row_widths import evened, fits, tolerated, widest
from rtp_workers.mapping.columns.sample_rows import Row, escaped_rows_of, physical_lines, rows_of
from rtp_workers.mapping.columns.vocabulary import best_role, is_known
from rtp_workers.mapping.plan import Dialect, Given

RARE = "~"
DELIMITERS = (",", ";", "\t", "|", RARE)
SOME_NAMES = 3  # in a header
LOOKED_AT_ROWS = 400
PREAMBLE_ROWS = 60
MAX_NAME_LENGTH = 80
FITTING = 8  # a header of the usual width is worth as much as so many known names
TAG = re.compile(r"#[a-z_]+(?:\+[a-z_]+)*")  # a tag of the Humanitarian Exchange Language, in a row below the header


def find_delimiter(lines: list[str], quotechar: str) -> str:
    """Returns the delimiter with which the rows have one width and the header consists of known words."""
    marks = [mark for mark in DELIMITERS if mark != RARE or _names_columns(lines, mark, quotechar)]
    return max(marks, key=lambda mark: _delimiter_score(rows_of(lines, mark, quotechar, LOOKED_AT_ROWS)))


def _names_columns(lines: list[str], mark: str, quotechar: str) -> bool:
    """True if a row with this delimiter holds names of columns: the sign may as well be a part of texts."""
    return any(mark in line for line in lines[:PREAMBLE_ROWS]) and any(
        _hits(row.cells) >= SOME_NAMES for row in rows_of(lines[:PREAMBLE_ROWS], mark, quotechar)
    )


def _delimiter_score(rows: list[Row]) -> float:
    filled = [row for row in rows if not row.is_blank]
    widths = Counter(len(row.cells) for row in filled if len(row.cells) > 1)
    if not widths:
        return 0.0
    width, count = max(widths.items(), key=lambda item: item[1] * math.log2(item[0] + 1))
    hits = max((_hits(row.cells) for row in filled[:PREAMBLE_ROWS] if len(row.cells) > 1), default=0)
    return (count / len(filled)) * math.log2(width + 1) + 0.6 * hits


def _hits(cells: Sequence[str]) -> int:
    """Returns how many cells are names in the vocabulary; 0 for a row of data."""
    if _holds_sentences(cells):
        return 0
    typed = sum(looks_typed(cell) for cell in cells[:6])
    if typed > 1:  # a year or a total may occur in a header, but a row of data has both a date and an amount
        return 0
    known = sum(is_known(cell) for cell in cells)
    return known if not typed or known >= 2 else 0


def _holds_sentences(cells: Sequence[str]) -> bool:
    """True for a row of text. A row with one or two long names, with a hint in brackets, may still be a header."""
    return sum(len(cell) > MAX_NAME_LENGTH for cell in cells) > len(cells) * 0.25


def looks_typed(cell: str) -> bool:
    """True if a cell is a date, a time or a number, which headers do not contain."""
    text = cell.strip()
    if not any(char.isdigit() for char in text):
        return False
    return (
        amounts.take_apart(text) is not None or dates.shape_of(text) is not None or dates.parse_clock(text) is not None
    )


def find_header(rows: Sequence[Row]) -> Row | None:
    """Returns the header row; None if the file begins with data."""
    filled = [row for row in rows[:LOOKED_AT_ROWS] if not row.is_blank]
    data_width = _data_width(filled)
    best: tuple[float, int] | None = None
    for at, row in enumerate(filled[:PREAMBLE_ROWS]):
        score = _header_score(row, data_width, filled[at + 1 : at + 30])
        if score > 0 and (best is None or score > best[0]):
            best = (score, at)
    return filled[best[1]] if best is not None else None


def _header_score(row: Row, data_width: int, after: Sequence[Row]) -> float:
    cells = [cell.strip() for cell in row.cells]
    named = [cell for cell in cells if cell]
    typed_names = sum(looks_typed(cell) for cell in named)
    if len(named) < 2 or (typed_names > len(named) * 0.2 and (typed_names > 1 or _hits(named) < 2)):
        return 0.0
    if all(TAG.fullmatch(cell) for cell in named):
        return 0.0
    if _holds_sentences(named) or len(set(named)) < len(named) * 0.6:
        return 0.0
    hits = _hits(named)
    fits = abs(len(cells) - data_width) <= 1
    if hits >= 2 or (hits == 1 and fits and len(named) <= 4):
        return hits + (FITTING if fits else 0) + hits / len(named)
    # Unknown words in every column, over data that has dates or numbers.
    below = [cell for other in after for cell in other.cells]
    typed = sum(looks_typed(cell) for cell in below)
    return 0.5 if fits and len(named) >= len(cells) - 2 and typed > len(below) * 0.2 else 0.0


def _data_width(rows: Sequence[Row]) -> int:
    widths = Counter(len(row.cells) for row in rows if sum(looks_typed(cell) for cell in row.cells) >= 2)
    return widths.most_common(1)[0][0] if widths else max((len(row.cells) for row in rows), default=0)


def find_dialect(data: bytes, given: Given, file_name: str) -> tuple[Dialect, list[Row]]:
    """Returns the dialect and the sample's data rows, including blank and ragged ones.

    Raises:
        ConfigError: the file is empty, or no row starts on the given header line.
    """
    encoding = given.encoding or find_encoding(data)
    text = decode(data, encoding)
    if not text.strip():
        raise ConfigError(f"{file_name}: the file is empty; a CSV with a header and rows is needed")
    quotechar = given.quotechar or '"'
    lines = physical_lines(text.removeprefix("\ufeff"))
    if len(lines) > 1 and not lines[-1].endswith(("\n", "\r")) and len(data) > 1_000_000:
        lines.pop()  # the sample ends in the middle of a line
    delimiter = given.delimiter or find_delimiter(lines[:2000], quotechar)
    escapes = has_escapes("".join(lines[:2000]), delimiter, quotechar) if given.escapes is None else given.escapes
    rows = escaped_rows_of("".join(lines), delimiter, quotechar) if escapes else rows_of(lines, delimiter, quotechar)
    header = _chosen_header(rows, given, file_name)
    body = [row for row in rows if header is None or row.line > header.line]
    first_line = body[0].line if body else len(lines) + 1
    columns = _columns(header, body, given)
    fewest, most = tolerated(body, len(columns), header.cells if header else ())
    dialect = Dialect(
        encoding=encoding,
        delimiter=delimiter,
        quotechar=quotechar,
        header_line=header.line if header else 0,
        first_data_line=first_line,
        columns=columns,
        header_cells=tuple(header.cells) if header else (),
        encoding_is_open=given.encoding is None and data.isascii(),
        escapes=escapes,
        other_headers=_other_headers(rows, header, given),
        rows_above=_rows_above(rows, header, given),
        fewest_cells=fewest,
        most_cells=most,
    )
    if fewest < most:
        width, widths = len(columns), dialect.tolerated_widths
        body = [Row(row.line, evened(row.cells, width)) if fits(row.cells, width, widths) else row for row in body]
    return dialect, body


def _other_headers(rows: Sequence[Row], header: Row | None, given: Given) -> tuple[int, ...]:
    if header is None or given.header_line is not None or given.header is not None:
        return ()
    return tuple(row.line for row in other_headers(rows, header))


def _rows_above(rows: Sequence[Row], header: Row | None, given: Given) -> tuple[int, ...]:
    if header is None or given.header_line is not None:
        return ()
    return tuple(row.line for row in rows_above(rows, header))


def has_escapes(text: str, delimiter: str, quotechar: str) -> bool:
    r"""Tells whether a backslash escapes: some cell is ``\N``, or some quotes or widths are right only if it does."""
    if "\\" not in text:
        return False
    plain = rows_of(physical_lines(text), delimiter, quotechar)
    if any("\\N" in row.cells for row in plain):
        return True
    escaped = _evenness(escaped_rows_of(text, delimiter, quotechar))
    # A cell whose second quote neither ends it nor is doubled: "The \"Corner\" Shop".
    cut, quote = re.escape(delimiter), re.escape(quotechar)
    misquoted = re.search(rf"(?:^|{cut}){quote}[^{quote}\r\n]*\\{quote}[^{cut}{quote}\r\n]", text, re.MULTILINE)
    return escaped >= _evenness(plain) if misquoted else escaped > _evenness(plain)


def _evenness(rows: Sequence[Row]) -> float:
    """Returns the share of rows with the usual width, among the rows with more than one cell."""
    widths = Counter(len(row.cells) for row in rows if not row.is_blank)
    usual = max((count for width, count in widths.items() if width > 1), default=0)
    return usual / max(1, widths.total())


def _chosen_header(rows: list[Row], given: Given, file_name: str) -> Row | None:
    if given.header_line is None:
        return None if given.header is not None and not _repeats(rows, given.header) else find_header(rows)
    if given.header_line == 0:
        return None
    found = next((row for row in rows if row.line == given.header_line), None)
    if found is None:
        raise ConfigError(f"{file_name}: no row starts on line {given.header_line}; correct header_line")
    return found


def _repeats(rows: list[Row], header: tuple[str, ...]) -> bool:
    wanted = [compact(name) for name in header]
    return any([compact(cell) for cell in row.cells] == wanted for row in rows[:PREAMBLE_ROWS])


def _columns(header: Row | None, body: list[Row], given: Given) -> tuple[str, ...]:
    widths = Counter(len(row.cells) for row in body if not row.is_blank)
    if header is None:
        width = widths.most_common(1)[0][0] if widths else 0
        return unique_names(list(given.header or [])[:width] + [""] * (width - len(given.header or ())))
    names = [cell.strip() for cell in header.cells]
    total = sum(count for width, count in widths.items() if width > 1 or len(names) == 1)  # one cell: a line of text
    if not total or widths[len(names)] >= total * 0.25:
        return unique_names(names)
    width = widths.most_common(1)[0][0]
    usual = [row for row in body if len(row.cells) == width and not row.is_blank]
    if width == len(names) + 1 and sum(bool(row.cells[-1].strip()) for row in usual) > total * 0.5:
        shifted, straight = ["", *names], [*names, ""]
        # The surplus cell is a row name, as R writes it, unless the cells show that it is the last one.
        return unique_names(straight if _confirmed(straight, usual) > _confirmed(shifted, usual) else shifted)
    if width > len(names):
        return unique_names(names + [""] * (width - len(names)))
    # Every row is shorter than the header: empty cells at the end are left out.
    return unique_names(names[: widest(body, len(names))])


def _confirmed(names: Sequence[str], rows: Sequence[Row]) -> int:
    """Returns how many cells agree with their column's name: dates below dates, numbers below amounts."""
    tests = {"occurred_at": _is_when, "time": _is_when, "amount": _is_number, "fee": _is_number, "balance": _is_number}
    roles = [(at, tests[role]) for at, name in enumerate(names) if (role := best_role(name)[0]) in tests]
    return sum(test(row.cells[at].strip()) for row in rows[:LOOKED_AT_ROWS] for at, test in roles)


def _is_when(cell: str) -> bool:
    return dates.shape_of(cell) is not None or dates.epoch_unit([cell]) is not None


def _is_number(cell: str) -> bool:
    return amounts.take_apart(cell) is not None and dates.shape_of(cell) is None


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Makes the names unique: ``column 3`` for an empty one, ``Text (2)`` for the second ``Text``."""
    seen: Counter[str] = Counter()
    result = []
    for at, name in enumerate(names, 1):
        name = name or f"column {at}"
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
