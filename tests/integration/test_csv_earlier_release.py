"""Installations from before sources had a memory: rows keep the ids that the earlier release gave them."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command

from rtp_workers.postgres import migrate as schema
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack, StartRtp
from tests.integration.test_csv_sources import Loader
from tests.programs import run_rtp
from tests.reading import assert_balanced, query
from tests.waiting import wait_until

STORED = Path(__file__).parent.parent / "earlier_release"
BALANCED = "Date,Description,Amount,Balance\n"
POLISH = ("Żabka Łódź", "Księgarnia Świat", "Piekarnia Gęś", "Sklep")
TURKISH = ("Çiğdem Mağazası", "İş Bankası Şube", "Kırtasiye Güneş", "Market")
GERMAN = ("Bäckerei Müller", "Café Zoë", "Metzger")


def june(header: str, texts: tuple[str, ...], first: int, last: int, separator: str = ",") -> str:
    """Returns an export with a running balance, of these days of June."""
    lines = [header.rstrip("\n")]
    for day in range(first, last + 1):
        balance = 5000 - sum(range(1, day + 1))
        lines.append(
            separator.join([f"2026-06-{day:02d}", f"{texts[day % len(texts)]} {day}", f"-{day}.00", f"{balance}.00"])
        )
    return "\n".join(lines) + "\n"


NEXT_EXPORTS = {
    "ascii": june(BALANCED, ("Kiosk", "Market"), 5, 12).encode(),
    "utf8": june("Date;Text;Amount;Balance", GERMAN, 5, 12, ";").encode(),
    "polish": june("Date,Payee,Amount,Balance", POLISH, 5, 12).encode("cp1250"),
    "turkish": june("Tarih;Açıklama;Tutar;Bakiye", TURKISH, 5, 12, ";").encode("cp1254"),
    "column": (
        "Date,Text,Amount,Card\n" + "".join(f"2026-07-{day:02d},Store {day},-{day}.15,**01\n" for day in range(5, 13))
    ).encode(),
}


@pytest.fixture
def earlier(stack: Stack, start_rtp: StartRtp, tmp_path: Path) -> Loader:
    """A database that the first release has filled, migrated, with a consumer at work."""
    return filled_earlier(stack, start_rtp, tmp_path, STORED)


def filled_earlier(stack: Stack, start_rtp: StartRtp, tmp_path: Path, stored: Path) -> Loader:
    """Puts the tables that the first release has filled into the database, migrates it and starts a consumer."""
    owner_dsn = stack.endpoints.need("postgres_dsn")
    query(stack, "drop schema public cascade; create schema public; revoke all on schema public from public")
    with schema._alembic(owner_dsn) as (config, _):
        command.upgrade(config, "0001")
    connection = connect(owner_dsn, "rtp-test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            for table in ("transactions", "csv_loads", "ingest_ledger"):
                with (stored / f"{table}.csv").open() as file:
                    columns = file.readline()
                    cursor.copy_expert(f"copy {table} ({columns}) from stdin csv", file)
            cursor.execute("select setval(pg_get_serial_sequence('csv_loads', 'load_id'), max(load_id)) from csv_loads")
    finally:
        connection.close()
    query(stack, "update ingest_ledger set topic = %s, group_id = %s", stack.topic, stack.env["RTP_GROUP_ID"])
    migrated = run_rtp("migrate", env=stack.env)
    assert migrated.returncode == 0, (migrated.stdout, migrated.stderr)
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: "partitions_opened" in consumer.output(), what="the consumer reads")
    return Loader(stack, tmp_path)


def ids_of(loader: Loader, name: str) -> dict[str, str]:
    """Returns what each id of a file's rows stands for."""
    found = query(
        loader.stack,
        "select transaction_id, occurred_at::text as at from transactions where source like %s",
        f"csv:{name}%",
    )
    return {row["transaction_id"]: row["at"] for row in found}


def test_the_next_overlapping_exports_store_no_row_twice(earlier: Loader) -> None:
    for name, export in NEXT_EXPORTS.items():
        before = ids_of(earlier, name)
        assert len(before) == 8
        said = earlier.load(f"{name}_2.csv", export)
        assert f"4 new, 4 already stored (4 from {name}_1.csv)" in said
        after = ids_of(earlier, name)
        assert before.items() <= after.items()
        assert len(after) == len(set(after.values())) == 12
    assert earlier.rtp("sources", "list").count("derived-1") == len(NEXT_EXPORTS)
    assert_balanced(earlier.stack)
    assert earlier.count("select count(*) as n from dead_letters") == 0


def test_a_third_export_keeps_the_ids_and_reads_the_texts_right(earlier: Loader) -> None:
    earlier.load("polish_2.csv", NEXT_EXPORTS["polish"])
    said = earlier.load("polish_3.csv", june("Date,Payee,Amount,Balance", POLISH, 1, 14).encode("cp1250"))
    assert "2 new, 12 already stored" in said
    stored = query(
        earlier.stack,
        "select merchant from transactions where source like 'csv:polish%%' and occurred_at > '2026-06-08' order by 1",
    )
    assert [row["merchant"] for row in stored] == sorted(f"{POLISH[day % 4]} {day}" for day in range(9, 15))


def test_a_section_added_after_the_upgrade_keeps_the_ids(earlier: Loader) -> None:
    earlier.section('[my-bank]\nfiles = ["ascii*"]\nconstants.currency = "EUR"\n')
    said = earlier.load("ascii_2.csv", NEXT_EXPORTS["ascii"])
    assert "4 new, 4 already stored (4 from ascii_1.csv)" in said


def test_what_cannot_be_told_from_earlier_rows_is_asked(earlier: Loader) -> None:
    earlier.section('[giro]\nfiles = ["ascii*"]\nid_source = "giro"\n')
    said = earlier.load("ascii_2.csv", june(BALANCED, ("Kiosk", "Market"), 1, 9), ok=False)
    assert 'Keep their ids with id_source = "columns-' in said
    earlier.section("")
    other = (
        BALANCED + "2026-06-02,Kiosk 2,-2.00,4997.00\n2026-06-04,Rent,-700.00,4297.00\n2026-06-09,Shop,-1.00,4296.00\n"
    )
    said = earlier.load("savings.csv", other, ok=False)
    assert "Is it the same account?" in said
    assert "ascii_1.csv" in said
    january = [f"2026-01-{day:02d},Payee {day},-{day}.00,REF{1000 + day}\n" for day in range(5, 9)]
    later = [f"2026-01-{day:02d},Payee {day},-{day}.40,\n" for day in range(9, 13)]
    text = "Date,Description,Amount,Reference\n" + "".join(january + later)
    said = earlier.load("reference_2.csv", text, ok=False)
    assert 'columns.transaction_id = "Reference"' in said
    assert "rtp purge --file reference_1.csv --by-name" in said
    assert earlier.count() == 48


def test_an_export_that_reaches_back_over_a_gap_is_asked_about(earlier: Loader) -> None:
    earlier.load("ascii_3.csv", june(BALANCED, ("Kiosk", "Market"), 10, 12))  # none of its rows is stored: newer ids
    said = earlier.load("ascii_4.csv", june(BALANCED, ("Kiosk", "Market"), 5, 14), ok=False)
    assert "rtp purge --file ascii_1.csv --by-name" in said
    assert earlier.count() == 51


def test_rows_without_a_load_number_are_undone_only_when_that_is_confirmed(earlier: Loader) -> None:
    earlier.rtp("purge", "--file", "ascii_1.csv", "--yes")
    assert earlier.count() == 48
    earlier.rtp("purge", "--file", "ascii_1.csv", "--by-name", "--yes")
    assert earlier.count() == 40
    [noted] = query(earlier.stack, "select purged_rows, days[1]::text as first from purges where purged_rows > 0")
    assert noted == {"purged_rows": 8, "first": "2026-06-01"}
