"""Installations from before sources had a memory: rows keep the ids that the earlier version gave them."""

from __future__ import annotations

import pytest

from tests.integration.test_csv_sources import Loader, loader  # noqa: F401 - the fixture
from tests.reading import query

HEADER = "Date,Description,Amount,Balance\n"
# What the release before gave to these rows: from all their cells, the running balance included.
EARLIER_IDS = (
    "b18b41daed5b504463dd07d78018f8db",
    "816fd8d9e0cd7b456cf6b7f1151398f5",
    "bfe09f60874762c1df9ea5dbbe0c66d6",
    "dfa31dcce4b309297689c2624707242f",
    "58a6fe2cc39c8cd3d05e3cb5a6e0ea54",
    "d2a08ee338c22d805534fc2489e50969",
    "400e50912898dda34a0458a6b798d4e7",
    "25200d60227ef60ce27d3705eadf4b97",
)


def june(first: int, last: int) -> str:
    balances = {day: 5000 - sum(range(1, day + 1)) for day in range(first, last + 1)}
    return HEADER + "".join(f"2026-06-{day:02d},Kiosk {day},-{day}.00,{left}.00\n" for day, left in balances.items())


@pytest.fixture
def earlier(loader: Loader) -> Loader:  # noqa: F811 - the fixture
    """The table as the release before left it after loading the first five days."""
    for day, transaction_id in enumerate(EARLIER_IDS[:5], 1):
        balance = 5000 - sum(range(1, day + 1))
        query(
            loader.stack,
            "insert into transactions (transaction_id, occurred_at, amount, merchant, attributes, source, "
            "kafka_partition, kafka_offset) values (%s, %s, %s, %s, %s, 'csv:june_1.csv', 0, %s)",
            transaction_id,
            f"2026-06-{day:02d}Z",
            f"-{day}.00",
            f"Kiosk {day}",
            f'{{"Balance": "{balance}.00"}}',
            day,
        )
    query(
        loader.stack,
        "insert into csv_loads (identity, file_name, state, acknowledged) values ('x-1', 'june_1.csv', 'loaded', 5)",
    )
    return loader


@pytest.mark.parametrize("section", ["", '[my-bank]\nfiles = ["june*"]\nconstants.currency = "EUR"\n'])
def test_the_next_overlapping_export_stores_no_row_twice(earlier: Loader, section: str) -> None:
    earlier.section(section)
    said = earlier.load("june_2.csv", june(1, 8))
    assert "3 new, 5 already stored (5 from june_1.csv)" in said
    stored = query(earlier.stack, "select transaction_id from transactions order by occurred_at")
    assert tuple(row["transaction_id"] for row in stored) == EARLIER_IDS
    assert "derived-1" in earlier.rtp("sources", "list")
    assert earlier.count("select count(*) as n from dead_letters") == 0


def test_rows_without_a_load_number_are_undone_only_when_that_is_confirmed(earlier: Loader) -> None:
    earlier.rtp("purge", "--file", "june_1.csv", "--yes")
    assert earlier.count() == 5
    earlier.rtp("purge", "--file", "june_1.csv", "--by-name", "--yes")
    assert earlier.count() == 0
    [noted] = query(earlier.stack, "select purged_rows, days[1]::text as first from purges where purged_rows > 0")
    assert noted == {"purged_rows": 5, "first": "2026-06-01"}
