"""Derived ids begin with the row's day, so that rows of one day are neighbours in the primary key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.rows.convert import derived_ids
from rtp_workers.mapping.rows.ids import DerivedIds, OccurrenceCounter, day_digits
from rtp_workers.mapping.sources import Section

EXPORT = b"Payee,Date,Amount\nShop 1,2026-07-14,-1.15\nShop 2,2026-07-15,-2.15\nShop 3,2026-07-15,-3.15\n"
ROWS = [line.split(",") for line in EXPORT.decode().splitlines()[1:]]


def ids(plan: FilePlan, rows: list[list[str]] = ROWS) -> list[str]:
    return derived_ids(plan).ids(rows)


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-14", "2026-07-14T09:30:00Z", "2026-07-14 23:59:59.999+02:00", "2026/07/14", "20260714", " 2026.07.14 ",
        "20260714093000", "2026-07-14, 9.30",
    ],
)  # fmt: skip
def test_a_day_written_from_the_year_is_the_beginning_itself(text: str) -> None:
    assert day_digits(text) == "20260714"


@pytest.mark.parametrize(
    "same_day",
    [
        ("14.07.2026", "14.07.2026 09:30", "14.07.2026 23:59:59", "14.07.2026, 8.05", "10:30 14.07.2026"),
        ("7/14/2026 1:05 PM", "7/14/2026", "7/14/2026 13:05:09.123+02:00"),
        ("Jul 14, 2026", "Jul 14, 2026 10:15:00 AM", "Jul 14, 2026, 22h15"),
        ("Tue Jul 14 10:30:00 2026", "Tue Jul 14 23:59:59 2026"),
        ("1784019600", "1784019600123", "1784019600123456", "1784019600.5"),
        ("١٤/٧/٢٠٢٦", "١٤/٧/٢٠٢٦ 10:00"),
        ("", " "),
    ],
)
def test_other_forms_share_a_beginning_on_one_day(same_day: tuple[str, ...]) -> None:
    found = {day_digits(text) for text in same_day}
    assert len(found) == 1
    beginning = found.pop()
    assert beginning[0] == "d"  # behind all days that are written as they are
    assert len(beginning) == 8
    int(beginning, 16)


def test_days_differ() -> None:
    texts = [f"{day:02d}.{month:02d}.2026" for month in range(1, 13) for day in range(1, 29)]
    others = ["Mo. 14.07.2026", "Mo. 21.07.2026", "14. 7.2026", "14. 8.2026", "Tue Jul 14 10:30:00 2026"]
    others += ["Tue Jul 14 10:30:00 2025", "14.07.26", "15.07.26", "14 7 2026", "14 8 2026"]
    assert len({day_digits(text) for text in [*texts, *others]}) == len(texts) + len(others)


def test_ids_begin_with_the_day_and_end_with_the_digest_of_the_row() -> None:
    plan = infer(EXPORT, "export.csv")
    assert plan.id_day == "Date"
    digests = ids(replace(plan, id_day=None))
    assert ids(plan) == [
        day + digest[:24] for day, digest in zip(["20260714", "20260715", "20260715"], digests, strict=True)
    ]


def test_equal_rows_are_numbered_as_before() -> None:
    plan = infer(EXPORT, "export.csv")
    first, second = ids(plan, [ROWS[0], ROWS[0]])
    assert second == f"{first}-2"


def test_how_the_date_is_read_makes_no_difference() -> None:
    rows = [["Shop", "03/04/2026 10:00", "-1.00"]]
    plan = infer(EXPORT, "export.csv")
    other = replace(plan, rules=replace(plan.rules, date_order="DMY", time_zone="Europe/Berlin"))
    assert ids(plan, rows) == ids(other, rows)


def test_ids_that_are_not_made_of_the_date_do_not_begin_with_it() -> None:
    data = b"Ref,Date,Amount\n" + b"".join(b"R%d,2026-07-%02d,-1.%02d\n" % (n // 2, n, n) for n in range(10, 28))
    plan = infer(data, "export.csv", section=Section(id="derived", id_columns=("Ref", "Amount")))
    assert plan.id_columns == ("Ref", "Amount")
    assert plan.id_day is None


def test_ids_of_columns_by_hand_do_not_begin_with_the_day() -> None:
    section = Section(id="derived", id_columns=("Date", "Payee", "Amount"))
    assert infer(EXPORT, "export.csv", section=section).id_day is None


def test_ids_that_nothing_remembers_are_made_as_in_every_release() -> None:
    rows = "".join(f"{at * 2},2026-07-{at + 1:02d},Shop {at},-{at}.15,Open\n" for at in range(12))
    data = f",Date,Payee,Amount,Case status\n{rows}".encode()
    plan = infer(data, "-", is_remembered=False)
    assert plan.id_day is None
    assert plan.id_columns == ("column 1", "Date", "Payee", "Amount", "Case status")


def test_a_file_without_the_column_has_ids_with_the_day_of_an_empty_cell() -> None:
    plan = infer(EXPORT, "export.csv")
    without = infer(b"Payee,Booked,Amount\nShop 1,2026-07-14,-1.15\n", "export.csv")
    later = replace(without, id_columns=plan.id_columns, id_day=plan.id_day, source=plan.source)
    assert ids(later)[0].startswith(day_digits(""))


def test_the_day_of_a_corrected_encoding_is_that_of_the_text_as_it_was_read_first() -> None:
    first = DerivedIds("bank", OccurrenceCounter.in_memory(), day=lambda row: row[0])
    corrected = DerivedIds(
        "bank",
        OccurrenceCounter.in_memory(),
        recode=lambda text: text.encode("cp1250").decode("cp1252"),
        day=lambda row: row[0],
    )
    garbled = "14 září 2026".encode("cp1250").decode("cp1252")
    assert first.ids([[garbled, "1"]]) == corrected.ids([["14 září 2026", "1"]])


def test_many_days_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtp_workers.mapping.rows.ids.DAYS_KEPT", 10)
    some = DerivedIds("bank", OccurrenceCounter.in_memory(), day=lambda row: row[0])
    fresh = DerivedIds("bank", OccurrenceCounter.in_memory(), day=lambda row: row[0])
    rows = [[f"2026-07-14T10:{minute:02d}:{second:02d}Z"] for minute in range(60) for second in range(60)]
    batches = [rows[at : at + 7] for at in range(0, len(rows), 7)]
    assert [one for batch in batches for one in some.ids(batch)] == fresh.ids(rows)
    assert len(some._days) <= 17


@pytest.mark.parametrize(
    "numbers",
    [range(12), range(12, 0, -1), [0, 1, 4, 5, 9, 12, 20, 21, 22, 30, 31, 40], [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]],
    ids=["from 0", "backwards", "with gaps", "starting again"],
)
def test_the_number_that_a_program_writes_before_each_row_is_not_part_of_the_id(numbers: Iterable[int]) -> None:
    rows = "".join(f"{number},2026-07-{at + 1:02d},Shop {at},-{at}.15\n" for at, number in enumerate(numbers))
    assert "column 1" not in infer(f",Date,Payee,Amount\n{rows}".encode(), "export.csv").id_columns


def test_another_number_without_a_name_stays_in_the_id() -> None:
    rows = "".join(f"{at * 7919 % 1000},2026-07-{at + 1:02d},Shop {at},-{at}.15\n" for at in range(12))
    assert "column 1" in infer(f",Date,Payee,Amount\n{rows}".encode(), "export.csv").id_columns


def test_a_status_with_another_word_is_not_part_of_the_id() -> None:
    rows = "".join(f"2026-07-{at + 1:02d},Shop {at},-{at}.15,{'Open' if at % 2 else 'Won'}\n" for at in range(12))
    assert infer(f"Date,Payee,Amount,Case status\n{rows}".encode(), "export.csv").ids_left_out == ("Case status",)
