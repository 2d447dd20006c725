"""Texts that an earlier load read in another encoding: no row is stored twice, and the load says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Stack, StartRtp
from tests.integration.test_csv_earlier_release import POLISH, STORED, TURKISH, filled_earlier, june
from tests.integration.test_csv_sources import Loader
from tests.integration.test_csv_sources import loader as loader
from tests.reading import assert_balanced, query

DEAD_LETTERS = "select count(*) as n from dead_letters"


def polish(first: int, last: int) -> bytes:
    rows = [f"pl-{day},2026-06-{day:02d}T10:00:00Z,-{day}.00,{POLISH[day % 4]} {day},PLN" for day in range(first, last)]
    return "\n".join(["transaction_id,occurred_at,amount,merchant,currency", *rows, ""]).encode("cp1250")


def turkish(first: int, last: int) -> bytes:
    rows = [
        f"TR{1000 + day};2026-06-{day:02d};{TURKISH[day % 4]} {day};-{day}.50;{'Eskişehir' if day % 2 else 'Van'}"
        for day in range(first, last)
    ]
    return "\n".join(["Transaction ID;Date;Text;Amount;Branch", *rows, ""]).encode("cp1254")


def lettered(first: int, last: int) -> bytes:
    rows = [f"İş-{day},2026-06-{day:02d}T10:00:00Z,-{day}.00,{TURKISH[day % 4]}" for day in range(first, last)]
    return "\n".join(["transaction_id,occurred_at,amount,merchant", *rows, ""]).encode("cp1254")


@pytest.fixture
def earlier(stack: Stack, start_rtp: StartRtp, tmp_path: Path) -> Loader:
    """A database in which the first release has stored garbled texts, migrated, with a consumer at work."""
    return filled_earlier(stack, start_rtp, tmp_path, STORED / "own_ids")


def merchants(loader: Loader, prefix: str) -> dict[str, str]:
    """Returns id -> merchant of the rows whose ids begin so."""
    rows = query(
        loader.stack,
        "select transaction_id as id, merchant from transactions where starts_with(transaction_id, %s)",
        prefix,
    )
    return {row["id"]: row["merchant"] for row in rows}


def test_garbled_rows_of_the_earlier_release_are_corrected_under_their_ids(earlier: Loader) -> None:
    said = earlier.load("own_polish_1.csv", polish(1, 9), ok=False)
    assert '"Ksiêgarnia Œwiat 1" instead of "Księgarnia Świat 1"' in said
    assert "read as cp1252" in said
    assert "rtp purge --file own_polish_1.csv --by-name" in said
    assert said == earlier.load("own_polish_1.csv", polish(1, 9), "--again", ok=False)
    said = earlier.load("own_polish_2.csv", polish(5, 13), ok=False)
    assert "from own_polish_1.csv" in said
    assert (earlier.count(), earlier.count(DEAD_LETTERS)) == (24, 0)
    earlier.rtp("purge", "--file", "own_polish_1.csv", "--by-name", "--yes")
    assert "8 new" in earlier.load("own_polish_1.csv", polish(1, 9))
    assert "4 new, 4 already stored" in earlier.load("own_polish_2.csv", polish(5, 13))
    assert merchants(earlier, "pl-") == {f"pl-{day}": f"{POLISH[day % 4]} {day}" for day in range(1, 13)}
    assert earlier.count(DEAD_LETTERS) == 0


def test_garbled_rows_may_stay_as_they_are_and_garbled_ids_are_asked_about(earlier: Loader) -> None:
    said = earlier.load("own_turkish_2.csv", turkish(5, 13), ok=False)
    assert "rtp load --overlap same" in said
    before = merchants(earlier, "TR")
    said = earlier.load("own_turkish_2.csv", turkish(5, 13), "--overlap", "same")
    assert "4 new" in said
    assert "4 dead letters" in said
    after = merchants(earlier, "TR")
    assert before.items() <= after.items()
    assert after["TR1009"] == f"{TURKISH[1]} 9"
    assert_balanced(earlier.stack)
    said = earlier.load("own_lettered_1.csv", lettered(1, 9), ok=False)
    assert '"Ýþ-1" instead of "İş-1"' in said
    assert "rtp purge --file own_lettered_1.csv --by-name" in said
    preview = earlier.rtp("load", "--dry-run", str(earlier.folder / "own_lettered_1.csv"))
    assert "instead of" in preview
    assert earlier.count() == 28


def test_a_corrected_encoding_of_own_ids_is_asked_about(loader: Loader) -> None:
    loader.load("wrong.csv", polish(1, 9), "--encoding", "cp1252")
    said = loader.load("wrong.csv", polish(1, 9), ok=False)
    [load] = query(loader.stack, "select load_id from csv_loads")
    assert f"rtp purge --load {load['load_id']}" in said
    loader.rtp("purge", "--load", str(load["load_id"]), "--yes")
    assert "8 new" in loader.load("wrong.csv", polish(1, 9))
    assert "6 already stored" in loader.load("again.csv", polish(3, 9))
    assert loader.count(DEAD_LETTERS) == 0


def test_a_corrected_encoding_keeps_derived_ids(loader: Loader) -> None:
    header = "Date,Payee,Amount,Balance"
    texts = POLISH[:3]  # no text is ASCII only
    loader.load("giro_1.csv", june(header, texts, 1, 8).encode("cp1250"), "--encoding", "cp1252")
    said = loader.load("giro_1.csv", june(header, texts, 1, 8).encode("cp1250"))
    assert "0 new, 8 already stored" in said
    assert "8 of those already stored have changed since" in said
    said = loader.load("giro_2.csv", june(header, texts, 5, 12).encode("cp1250"))
    assert "4 new, 4 already stored" in said
    assert loader.count() == 12
