"""Any canonical table, written in any supported dialect, comes back equal."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_workers.mapping.cells.texts import BLANK, NOTHING
from rtp_workers.mapping.cells.words import looks_like_balance_line
from rtp_workers.mapping.sources import Section
from tests.mapping_files import load_all

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
DATES = {
    "iso": ("%Y-%m-%d %H:%M:%S", None),
    "german": ("%d.%m.%Y %H:%M:%S", True),
    "british": ("%d/%m/%Y %H:%M:%S", True),
    "american": ("%m/%d/%Y %I:%M:%S %p", False),
    "compact": ("%Y%m%d%H%M%S", None),
    "zulu": ("%Y-%m-%dT%H:%M:%SZ", None),
    "named": ("%d %b %Y %H:%M:%S", None),
}


@dataclass(frozen=True)
class Style:
    """One dialect: how the table is written."""

    encoding: str
    delimiter: str
    newline: str
    dates: str
    decimal: str
    thousands: str
    negative: str
    quote_all: bool


STYLES = st.builds(
    Style,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    dates=st.sampled_from(sorted(DATES)),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", "other", " ", "'"]),
    negative=st.sampled_from(["-{}", "({})", "{}-"]),
    quote_all=st.booleans(),
)
# ASCII letters and signs that every encoding has; padding is not kept, so none is written.
TEXTS = (
    st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("äöüéß\n"), min_size=1, max_size=30)
    .map(lambda text: text.strip(BLANK))
    .filter(lambda text: text not in NOTHING and not looks_like_balance_line(text))
)
AMOUNTS = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False).map(
    lambda amount: f"{amount if amount else abs(amount):f}"
)
ROWS = st.fixed_dictionaries(
    {
        "occurred_at": st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(
            lambda at: at.replace(microsecond=0)
        ),
        "amount": AMOUNTS,
        "customer_id": st.none() | st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
        "merchant": st.none() | TEXTS,
        "category": st.none() | TEXTS,
        "currency": st.none() | st.sampled_from(["EUR", "USD", "JPY"]),
        "payment_method": st.none() | TEXTS,
        "status": st.none() | TEXTS,
        "country": st.none() | st.sampled_from(["DE", "US", "GB"]),
        "attributes": st.none() | st.dictionaries(st.sampled_from(["a", "b"]), st.integers() | TEXTS, min_size=1),
    }
)


def written_amount(amount: str, style: Style) -> str:
    whole, _, fraction = amount.lstrip("-").partition(".")
    mark = {"other": "," if style.decimal == "." else ".", "": ""}.get(style.thousands, style.thousands)
    grouped = f"{int(whole):,}".replace(",", mark)
    number = f"{grouped}{style.decimal}{fraction}"
    return style.negative.format(number) if amount.startswith("-") else number


def written(rows: list[dict[str, object]], style: Style) -> bytes:
    out = io.StringIO(newline="")
    # csv.writer quotes a newline only where it ends lines: with CR an LF in a cell would stand bare.
    newlines = any("\n" in str(value) for row in rows for value in row.values())
    quoting: Literal[0, 1] = csv.QUOTE_ALL if style.quote_all or newlines else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=style.delimiter, lineterminator=style.newline, quoting=quoting)
    fields = sorted(rows[0])
    writer.writerow(["transaction_id", *fields])
    for number, row in enumerate(rows):
        cells: list[str] = [f"t{number}"]
        for field in fields:
            value = row[field]
            if isinstance(value, datetime):
                cells.append(value.strftime(DATES[style.dates][0]))
            elif field == "amount":
                cells.append(written_amount(str(value), style))
            elif field == "attributes":
                cells.append(json.dumps(value, ensure_ascii=False) if value else "")
            else:
                cells.append(str(value or ""))
        writer.writerow(cells)
    return out.getvalue().encode(style.encoding)


@settings(deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=8), style=STYLES)
def test_any_canonical_table_in_any_dialect_comes_back_equal(rows: list[dict[str, object]], style: Style) -> None:
    mapping = Section(
        encoding=style.encoding,
        delimiter=style.delimiter,
        header_line=1,
        decimal_mark=style.decimal,
        day_first=DATES[style.dates][1],
        columns={field: (field,) for field in rows[0] if field != "attributes"},
    )
    loaded = load_all(written(rows, style), mapping=mapping)
    assert loaded.refused == []
    expected = []
    for number, row in enumerate(rows):
        at = row["occurred_at"]
        assert isinstance(at, datetime)
        record = {"transaction_id": f"t{number}", **{key: value for key, value in row.items() if value is not None}}
        expected.append({**record, "occurred_at": at.isoformat() + "Z"})
    assert loaded.records == expected
