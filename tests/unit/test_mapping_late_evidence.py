"""What a file's beginning leaves open is decided by the first cell that needs it, or asked for; never by a default."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader, refuse_open_encoding
from rtp_workers.batch.source_file import open_source
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.sources import Section
from rtp_workers.postgres.csv_loads import Progress
from tests.csv_files import write_settled
from tests.mapping_files import csv_of, load_all

HEAD = "Date;Description;Amount"
PLAIN = [f"2024-01-{day:02};Shop {day};-{day}" for day in range(1, 29)]
BLOCK_BYTES = 256  # so small that each block is a few rows, as blocks are of a file beyond its sample


def load(late: list[str], written_in: str = "utf-8", **mapping: Any) -> list[dict[str, Any]]:
    """Loads a file by a plan that has seen only its beginning."""
    beginning = csv_of(HEAD, *PLAIN)
    plan = infer(beginning, "bank.csv", section=Section(**mapping))
    assert not plan.undecided
    data = beginning + ("\n".join(late) + "\n").encode(written_in)
    chunks = ChunkReader(BlockReader(io.BytesIO(data), plan.dialect.encoding, BLOCK_BYTES), plan, Progress())
    return [json.loads(value) for chunk in chunks.chunks() for value in chunk.encoded.values][len(PLAIN) :]


@pytest.mark.parametrize(
    ("cells", "amounts"),
    [
        (["-12,50", "-1.234,00"], ["-12.50", "-1234.00"]),
        (["-12.50", "-1,234.00"], ["-12.50", "-1234.00"]),
        (["-1.234.567", "-12,50"], ["-1234567", "-12.50"]),
    ],
)
def test_the_first_amount_with_a_mark_decides_the_decimal_mark(cells: list[str], amounts: list[str]) -> None:
    rows = load([f"2024-02-0{at};Late shop number {at};{cell}" for at, cell in enumerate(cells, 1)])
    assert [row["amount"] for row in rows] == amounts


@pytest.mark.parametrize("cell", ["-1.234", "-1,234"])
def test_an_amount_that_fits_both_readings_stops_the_load_with_the_question(cell: str) -> None:
    late = [f"2024-02-01;Late shop;{cell}"]
    with pytest.raises(ConfigError, match="decimal_mark"):
        load(late)
    assert load(late, decimal_mark=cell[2])[0]["amount"] == "-1.234"
    assert load(late, decimal_mark="," if cell[2] == "." else ".")[0]["amount"] == "-1234"


def test_the_first_date_in_numbers_decides_the_order_of_day_and_month() -> None:
    rows = load(["13/02/2024;Late shop;-1", "03/04/2024;Late shop;-2"])
    assert [row["occurred_at"][:10] for row in rows] == ["2024-02-13", "2024-04-03"]


@pytest.mark.parametrize("cell", ["03/04/2024", "03/04/24", "030424"])
def test_a_date_that_fits_several_orders_stops_the_load_with_the_question(cell: str) -> None:
    with pytest.raises(ConfigError, match="day_first"):
        load([f"{cell};Late shop;-1"])


def test_the_first_letter_beyond_ascii_keeps_utf_8_or_stops_the_load_with_the_encoding_that_fits() -> None:
    late = ["2024-02-01;Bäckerei Müller;-1"]
    assert load(late)[0]["merchant"] == "Bäckerei Müller"
    with pytest.raises(ConfigError, match="--encoding cp1252"):
        load(late, "cp1252")
    assert load(late, "cp1252", encoding="cp1252")[0]["merchant"] == "Bäckerei Müller"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_question_for_the_encoding_names_the_line_of_the_letter(line_end: str, tmp_path: Path) -> None:
    lines = [HEAD, *PLAIN, "2024-02-01;Bäckerei;-1", *PLAIN]
    data = (line_end.join(lines) + line_end).encode("cp1252")
    plan = infer(csv_of(HEAD, *PLAIN), "bank.csv")
    chunks = ChunkReader(BlockReader(io.BytesIO(data), "utf-8", BLOCK_BYTES), plan, Progress())
    with pytest.raises(ConfigError, match=f"line {len(PLAIN) + 2} is the first"):
        list(chunks.chunks())
    with (
        open_source(str(write_settled(tmp_path / "bank.csv", data))) as source,
        pytest.raises(ConfigError, match=f"line {len(PLAIN) + 2} is the first"),
    ):
        refuse_open_encoding(source, plan.dialect)


@pytest.mark.parametrize(("ambiguous", "offset"), [("earlier", "+02:00"), ("later", "+01:00"), ("refuse", None)])
def test_a_local_time_that_comes_twice_follows_the_mappings_rule(ambiguous: str, offset: str | None) -> None:
    data = csv_of("Time,Text,Amount", "2024-10-27 02:30:00,A,-1.50", "2024-07-01 12:00:00,B,-2.50")
    loaded = load_all(data, mapping=Section(time_zone="Europe/Berlin", ambiguous=ambiguous))
    if offset is None:
        assert [row.reason for row in loaded.refused] == ["occurred_at_twice"]
    else:
        assert loaded.records[0]["occurred_at"] == f"2024-10-27T02:30:00{offset}"


@pytest.mark.parametrize("head", ["Time,Text,Amount", "Date,Time,Text,Amount"])
def test_a_local_time_that_comes_twice_is_asked_about(head: str) -> None:
    gap = "," if head.startswith("Date") else " "
    data = csv_of(head, f"2024-10-27{gap}02:30:00,A,-1.50", f"2024-07-01{gap}12:00:00,B,-2.50")
    plan = infer(data, "bank.csv", section=Section(time_zone="Europe/Berlin"))
    (question,) = plan.undecided
    assert "2024-10-27 02:30:00 comes twice" in question.question
    assert question.lines[0] == 'ambiguous = "earlier"'


def test_a_local_time_that_comes_twice_beyond_the_beginning_stops_the_load_with_the_question() -> None:
    late = ["2024-10-27 02:30;Late shop;-1"]
    with pytest.raises(ConfigError, match=r"2024-10-27 02:30:00 comes twice.*ambiguous"):
        load(late, time_zone="Europe/Berlin")
    assert load(late, time_zone="Europe/Berlin", ambiguous="later")[0]["occurred_at"] == "2024-10-27T02:30:00+01:00"
    assert load(late)[0]["occurred_at"] == "2024-10-27T02:30:00Z", "UTC has no such times"


def test_a_local_time_that_never_comes_is_read_unless_the_mapping_refuses_it() -> None:
    assert load(["2024-03-31 02:30;Late;-1"], time_zone="Europe/Berlin")[0]["occurred_at"].startswith(
        "2024-03-31T02:30"
    )


def test_a_local_time_that_never_comes_is_refused_where_the_mapping_says_so() -> None:
    data = csv_of("Time,Text,Amount", "2024-03-31 02:30:00,A,-1.50", "2024-07-01 12:00:00,B,-2.50")
    loaded = load_all(data, mapping=Section(time_zone="Europe/Berlin", ambiguous="refuse"))
    assert [row.reason for row in loaded.refused] == ["occurred_at_never"]
