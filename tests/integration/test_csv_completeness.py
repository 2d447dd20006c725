"""A file is loaded completely and correctly, or the load says what is missing: last lines, encodings, refusals."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.csv_files import write_settled
from tests.integration.test_csv_sources import HEADER, Loader, loader  # noqa: F401 - the fixture
from tests.programs import run_rtp
from tests.reading import query
from tests.waiting import wait_until

OWN = "transaction_id,occurred_at,amount\nT-1,2026-03-01T10:00:00Z,5.25\nT-2,2026-03-01T11:00:00Z,"
REST = "50.75\nT-3,2026-03-01T11:00:01Z,9.99\n"


def amounts(loader: Loader) -> list[str]:  # noqa: F811 - the fixture's name
    rows = query(loader.stack, "select amount::text from transactions order by occurred_at, transaction_id")
    return [row["amount"] for row in rows]


def touch(path: Path, seconds_ago: float) -> None:
    at = time.time() - seconds_ago
    os.utime(path, (at, at))


def test_a_last_line_that_may_grow_is_held_back(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    path = loader.folder / "own.csv"
    path.write_text(OWN + "12")
    touch(path, 5)
    held = run_rtp("load", str(path), env=loader.stack.env)
    assert held.returncode == 1
    assert "held back" in held.stderr
    path.write_text(OWN + "12" + REST)
    touch(path, 5)
    done = run_rtp("load", str(path), env=loader.stack.env)
    assert done.returncode == 0, done.stderr
    assert amounts(loader) == ["5.25", "1250.75", "9.99"]
    assert loader.count("select count(*) as n from dead_letters") == 0


def test_a_last_line_that_was_loaded_and_turns_out_longer_is_named(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    bank = HEADER + "2026-03-19,Shop,-5.50\n2026-03-20,Rent,-12"
    path = loader.folder / "bank.csv"
    path.write_text(bank)
    touch(path, 5)
    early = run_rtp("load", "--final", str(path), env=loader.stack.env)
    assert early.returncode == 0, early.stderr
    path.write_text(bank + "50.75\n2026-03-21,Coffee,-3.10\n")
    touch(path, 5)
    late = run_rtp("load", str(path), env=loader.stack.env)
    assert late.returncode == 1, late.stdout
    assert "line 3 was loaded before it was complete" in late.stdout
    command = late.stdout.split("rtp purge ")[1].split(" &&")[0]
    loader.rtp("purge", *command.split())
    assert amounts(loader) == ["-5.50", "-1250.75", "-3.10"]


def test_a_corrected_encoding_goes_over_the_refused_rows_again(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    plain = "".join(f"2026-05-{day:02d};Shop {day};-{day}.50\n" for day in range(1, 29))
    text = ("Date;Description;Amount\n" + plain + "2026-06-01;Bäckerei;-3.10\n").encode("cp1252")
    path = write_settled(loader.folder / "shops.csv", text)
    first = run_rtp("load", str(path), "--encoding", "utf-8", env=loader.stack.env)
    assert loader.count() == 28, first.stderr
    said = loader.load("shops.csv", text, "--encoding", "cp1252")
    assert "1 new, 28 already stored" in said
    assert loader.count("select count(*) as n from transactions where merchant = 'Bäckerei'") == 1


def test_a_late_letter_stops_the_load_at_its_line_and_the_corrected_load_asks_nothing(
    loader: Loader,  # noqa: F811 - the fixture's name
) -> None:
    def plain(count: int, month: int) -> list[str]:
        text = "a long text about nothing " * 12
        return [f"2026-{month:02d}-{at % 28 + 1:02d};Shop {at} {text};-{at % 97}.50" for at in range(count)]

    late = [f"2026-06-{day:02d};Bäckerei {day};-{day}.10" for day in range(1, 6)]
    lines = ["Date;Description;Amount", *plain(17_000, 6), *late, *plain(200, 6)]
    data = ("\n".join(lines) + "\n").encode("cp1252")
    said = loader.load("shops.csv", data, ok=False)
    assert "line 17002 is the first that is not ASCII" in said
    assert "--encoding cp1252" in said
    wait_until(lambda: loader.count() > 10_000, what="the rows before that line are stored")
    loader.load("shops.csv", data, "--encoding", "cp1252")
    wait_until(lambda: loader.count() == len(lines) - 1, what="every row is stored once")
    bakeries = "select count(*) as n from transactions where starts_with(merchant, 'Bäckerei')"
    assert loader.count(bakeries) == len(late)
    assert loader.count("select count(*) as n from dead_letters") == 0


def test_a_load_of_which_nothing_is_loaded_fails(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    header = "transaction_id,occurred_at,amount,currency\n"
    text = header + "".join(f"T-{day},2026-03-0{day}T10:00:00Z,5.25,eur\n" for day in (1, 2))
    said = loader.load("bad.csv", text, ok=False)
    assert "nothing was loaded, because all 2 rows are refused. The first: line 2, currency_code" in said
    assert "line 3" in loader.rtp("refused", "show", "bad.csv")


def test_files_and_their_states_are_listed(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    data = Path(loader.stack.env["RTP_DATA_DIR"])
    (data / "odd.csv").mkdir()
    loader.folder = data
    loader.load("good.csv", OWN + "1\n")
    loader.load("empty.csv", "", ok=False)
    write_settled(data / "later.csv", OWN + "2\n")
    listed = run_rtp("files", env=loader.stack.env)
    assert listed.returncode == 1
    lines = dict(line.split(": ", 1) for line in listed.stdout.splitlines())
    assert lines["loaded   good.csv"] == "2 rows"
    assert "not loaded yet" in lines["waiting  later.csv"]
    assert "folder" in lines["refused  odd.csv"]
    assert "failed   empty.csv" in lines
