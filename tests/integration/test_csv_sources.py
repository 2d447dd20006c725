"""A source has a memory: real exports of one account, or two, loaded one after another, with a consumer at work."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.rows.convert import derived_ids
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack, StartRtp
from tests.csv_files import write_settled
from tests.programs import run_rtp
from tests.reading import query
from tests.waiting import wait_until

HEADER = "Date,Description,Amount\n"


class Loader:
    """Loads files by the command, as a person does."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder

    def load(self, name: str, text: str | bytes, *options: str, ok: bool = True) -> str:
        """Writes and loads a file; returns what was printed."""
        done = run_rtp("load", str(write_settled(self.folder / name, text)), *options, env=self.stack.env)
        assert (done.returncode == 0) == ok, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def section(self, text: str) -> None:
        """Writes the mapping file."""
        (Path(self.stack.env["RTP_DATA_DIR"]) / "sources.toml").write_text(text)

    def rtp(self, *arguments: str) -> str:
        """Runs a command that must succeed."""
        done = run_rtp(*arguments, env=self.stack.env)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def count(self, sql: str = "select count(*) as n from transactions") -> int:
        """Returns the one number that a query gives."""
        return int(query(self.stack, sql)[0]["n"])


@pytest.fixture
def loader(stack: Stack, start_rtp: StartRtp, tmp_path: Path) -> Loader:
    """A loader beside a running consumer."""
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: "partitions_opened" in consumer.output(), what="the consumer reads")
    return Loader(stack, tmp_path)


def july(first: int, last: int, extra: str = "") -> str:
    return "".join(f"2026-07-{day:02d},Store {day},-{day}.15{extra}\n" for day in range(first, last + 1))


def test_a_section_added_renamed_or_corrected_later_issues_no_new_ids(loader: Loader) -> None:
    loader.load("bank.csv", HEADER + july(10, 28))
    for section in (
        '[my-bank]\nfiles = ["bank*.csv"]\nconstants.currency = "EUR"\n',
        '[mybank]\nfiles = ["bank*.csv"]\nconstants.currency = "EUR"\n',
        '[mybank]\nfiles = ["bank*.csv"]\nencoding = "cp1252"\n',
    ):
        loader.section(section)
        said = loader.load("bank.csv", HEADER + july(10, 28))
        assert "0 new, 19 already stored (19 from bank.csv)" in said
        assert loader.count() == 19
    loader.section('[mybank]\nfiles = ["bank*.csv"]\nid_source = "other"\n')
    said = loader.load("bank.csv", HEADER + july(10, 28), ok=False)
    assert 'id_source = "columns-' in said
    assert loader.count() == 19
    assert loader.count("select count(*) as n from dead_letters") == 0


def test_the_column_of_the_ids_stays_what_it_was(loader: Loader) -> None:
    header = "Date,Description,Amount,Transaction ID\n"
    january = [f"2026-01-{day:02d},Payee {day},-{day}.00,REF{1000 + day}\n" for day in range(1, 32)]
    february = [f"2026-02-{day:02d},Payee {day},-{day}.40,SO-{day % 4:03d}\n" for day in range(1, 29)]
    loader.load("january.csv", header + "".join(january))
    said = loader.load("february.csv", header + "".join(january[21:] + february), ok=False)
    assert "january.csv" in said
    assert "Transaction ID" in said
    assert "SO-00" in said
    assert (loader.count(), loader.count("select count(*) as n from dead_letters")) == (31, 0)


def test_two_accounts_with_an_equal_fee_are_asked_about(loader: Loader) -> None:
    giro = "2026-08-31,Account fee,-2.50\n2026-08-02,Salary,2500.00\n2026-08-04,Interest,0.01\n"
    savings = "2026-08-31,Account fee,-2.50\n2026-08-12,Transfer,300.00\n2026-08-04,Interest,0.01\n"
    loader.load("giro.csv", HEADER + giro)
    said = loader.load("savings.csv", HEADER + savings, ok=False)
    assert 'id_source = "savings"' in said
    assert "Account fee" in said
    assert "1 other of the same days is in one file only" in said
    assert loader.count() == 3
    loader.section('[savings]\nfiles = ["savings.csv"]\nid_source = "savings"\n')
    loader.load("savings.csv", HEADER + savings)
    assert loader.count() == 6


def test_balances_and_new_columns_are_no_part_of_an_id(loader: Loader) -> None:
    def export(rows: list[tuple[str, str, int]]) -> str:
        lines, balance = ["Date,Description,Amount,Balance"], 5000_00
        for day, text, cents in rows:
            balance += cents
            lines.append(f"{day},{text},{cents / 100:.2f},{balance / 100:.2f}")
        return "\n".join(lines) + "\n"

    first = [(f"2026-06-{day:02d}", f"Kiosk {day}", -100 * day) for day in range(1, 21)]
    loader.load("june_1.csv", export(first))
    said = loader.load("june_2.csv", export([*first[:9], ("2026-06-09", "Late fee", -250), *first[9:]]))
    assert "1 new, 20 already stored" in said
    assert "11 of those already stored have changed since" in said
    loader.load("old.csv", "Date,Text,Amount\n" + july(1, 20))
    loader.load("new.csv", "Date,Text,Amount,Card\n" + july(1, 25, ",**01"))
    reordered = "".join(f"-{day}.15,2026-07-{day:02d},**01,Store {day}\n" for day in range(20, 28))
    loader.load("reordered.csv", "Amount,Date,Card,Text\n" + reordered)
    assert loader.count() == 21 + 27
    assert loader.count("select count(*) as n from dead_letters") == 0
    listed = json.loads(loader.rtp("sources", "list", "--json"))["sources"]
    assert sorted((memory["loads"], memory["id_columns"]) for memory in listed) == [
        (2, ["Date", "Description", "Amount"]),
        (3, ["Date", "Text", "Amount"]),
    ]


def test_an_import_is_undone_and_repeated(loader: Loader) -> None:
    april = HEADER + "".join(f"2026-04-{day},Market {day},-{day}.75\n" for day in range(10, 20))
    loader.load("april.csv", april)
    loader.load("more.csv", april + "2026-04-20,Market 20,-20.75\n")
    assert loader.count() == 11
    loader.rtp("purge", "--file", "april.csv", "--yes")
    assert loader.count() == 1
    assert "1 already stored" in loader.load("more.csv", april + "2026-04-20,Market 20,-20.75\n")
    assert loader.count() == 11
    loader.rtp("purge", "--before", "2026-05-01", "--yes")
    said = loader.load("more.csv", april + "2026-04-20,Market 20,-20.75\n", ok=False)
    assert "10 of its rows have been purged since" in said
    loader.load("more.csv", april + "2026-04-20,Market 20,-20.75\n", "--again")
    assert loader.count() == 11
    source = json.loads(loader.rtp("sources", "list", "--json"))["sources"][0]["name"]
    loader.rtp("purge", "--source", source, "--yes")
    assert (loader.count(), json.loads(loader.rtp("sources", "list", "--json"))) == (0, {"sources": []})
    loader.load("april.csv", april)
    assert loader.count() == 10
    assert json.loads(loader.rtp("verify", "--json"))["ok"]


def test_a_dry_run_follows_the_memory_and_says_what_a_load_would_ask(loader: Loader) -> None:
    loader.load("giro.csv", HEADER + july(10, 28))
    following = write_settled(loader.folder / "giro_2.csv", HEADER + july(20, 31))
    shape = json.loads(loader.rtp("load", "--dry-run", "--json", str(following)))
    assert shape["memory"]["compared"]
    assert "read as giro.csv was" in shape["memory"]["remark"]
    assert shape["memory"]["contradiction"] is None
    other = HEADER + july(15, 15) + "2026-07-16,Rent,-700.00\n2026-07-17,Loan,-70.00\n2026-07-20,Shop,-7.00\n"
    savings = write_settled(loader.folder / "savings.csv", other)
    assert "Is it the same account?" in " ".join(loader.rtp("load", "--dry-run", str(savings)).split())
    assert loader.count() == 19
    away = {**loader.stack.env, "RTP_POSTGRES_INGEST_DSN": "postgresql://x:y@127.0.0.1:1/none"}
    looked = run_rtp("load", "--dry-run", "--json", str(savings), env=away)
    assert looked.returncode == 0, looked.stderr
    memory = json.loads(looked.stdout)["memory"]
    assert not memory["compared"]
    assert "not compared with earlier files" in memory["remark"]


def as_before_ids_began_with_the_day(loader: Loader, text: str) -> None:
    """Gives stored rows the ids of the release whose derived ids did not begin with the day; forgets that they do."""
    plan = infer(text.encode(), "bank.csv")
    rows = [line.split(",") for line in text.splitlines()[1:]]
    pairs = zip(derived_ids(replace(plan, id_day=None)).ids(rows), derived_ids(plan).ids(rows), strict=True)
    dsn = loader.stack.endpoints.need("postgres_dsn")
    with closing(connect(dsn, "test")) as connection, connection.cursor() as cursor:
        for earlier, now in pairs:
            cursor.execute("update transactions set transaction_id = %s where transaction_id = %s", (earlier, now))
            assert cursor.rowcount == 1
        cursor.execute("update csv_sources set reading = reading - 'id_day'")
        connection.commit()


def test_rows_whose_ids_do_not_begin_with_the_day_keep_them(loader: Loader) -> None:
    loader.load("bank_1.csv", HEADER + july(1, 14))
    as_before_ids_began_with_the_day(loader, HEADER + july(1, 14))
    assert "7 new, 7 already stored (7 from bank_1.csv)" in loader.load("bank_2.csv", HEADER + july(8, 21))
    assert "7 new, 7 already stored" in loader.load("bank_3.csv", HEADER + july(15, 28))
    assert loader.count() == 28
    assert loader.count("select count(*) as n from dead_letters") == 0
    assert "beginning with the day" not in loader.rtp("sources", "show", "bank")
    loader.load("other.csv", "Day,Text,Amount\n" + july(1, 14).replace("Store", "Shop"))
    assert "beginning with the day in Day" in loader.rtp("sources", "show", "other")


def test_rows_without_a_memory_keep_ids_that_do_not_begin_with_the_day(loader: Loader) -> None:
    loader.load("bank_1.csv", HEADER + july(1, 14))
    as_before_ids_began_with_the_day(loader, HEADER + july(1, 14))
    dsn = loader.stack.endpoints.need("postgres_dsn")
    with closing(connect(dsn, "test")) as connection, connection.cursor() as cursor:  # as rows that came from stdin
        cursor.execute("update transactions set load_id = null, source = 'csv:-'")
        cursor.execute("truncate csv_loads, csv_sources, csv_load_outcomes cascade")
        connection.commit()
    assert "7 new, 7 already stored" in loader.load("bank_2.csv", HEADER + july(8, 21))
    assert "7 new, 7 already stored" in loader.load("bank_3.csv", HEADER + july(15, 28))
    assert loader.count() == 28


def test_rows_from_stdin_have_the_same_ids_in_every_release(loader: Loader) -> None:
    text = HEADER + july(1, 14)
    env = {name: value for name, value in loader.stack.env.items() if name != "RTP_POSTGRES_INGEST_DSN"}
    for settings in (loader.stack.env, env):
        done = run_rtp("load", "-", env=settings, stdin=text)
        assert done.returncode == 0, done.stderr
    plan = infer(text.encode(), "-")
    expected = derived_ids(replace(plan, id_day=None)).ids([line.split(",") for line in text.splitlines()[1:]])
    wait_until(lambda: loader.count() == 14, what="the rows are stored")
    stored = query(loader.stack, "select transaction_id as id from transactions")
    assert {row["id"] for row in stored} == set(expected)
    assert "7 new, 7 already stored" in loader.load("bank_1.csv", HEADER + july(8, 21))
    assert "7 new, 7 already stored" in loader.load("bank_2.csv", HEADER + july(15, 28))
    assert loader.count() == 28


def test_rows_from_stdin_are_not_stored_twice_under_the_ids_of_a_later_source(loader: Loader) -> None:
    done = run_rtp("load", "-", env=loader.stack.env, stdin=HEADER + july(1, 14))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: loader.count() == 14, what="the rows are stored")
    loader.load("bank_2.csv", HEADER + july(15, 28))
    said = loader.load("bank_1.csv", HEADER + july(1, 14), ok=False)
    assert "14 rows of it are stored already" in said
    assert "rtp purge --file" in said
    assert loader.count() == 28


def test_sections_that_share_ids_by_hand_share_them_whatever_their_date_is(loader: Loader) -> None:
    section = 'id_source = "account"\nid_columns = ["Date", "Description", "Amount"]\n'
    loader.section(
        f'[a]\nfiles = ["a*.csv"]\n{section}[b]\nfiles = ["b*.csv"]\n'
        f'columns.occurred_at = "Booked"\noverlap = "same"\n{section}'
    )
    loader.load("a.csv", HEADER + july(1, 14))
    rows = "".join(f"2026-08-{day:02d},2026-07-{day:02d},Store {day},-{day}.15\n" for day in range(1, 15))
    said = loader.load("b.csv", "Booked,Date,Description,Amount\n" + rows)
    assert "0 new" in said
    assert loader.count() == 14


def test_files_without_a_header_that_are_not_alike_are_no_series(loader: Loader) -> None:
    loader.load("first.csv", "".join(f"2026-07-{day:02d},Store {day},-{day}.15,EUR\n" for day in range(1, 20)))
    dates_last = "".join(f"USD,{day}.40,Shop {day},2026-08-{day:02d}\n" for day in range(1, 20))
    balance_second = "".join(f"2026-09-{day:02d},{100 + day}.15,-{day}.10,Kiosk {day} x\n" for day in range(1, 20))
    assert "'USD' is not a date" in loader.load("second.csv", dates_last, ok=False)
    assert "its merchants would be numbers: 101.15, 102.15" in loader.load("third.csv", balance_second, ok=False)
    assert loader.count() == 19
