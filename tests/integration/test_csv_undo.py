"""An import that was undone: it stays undone, waits for what is on its way, and takes replayed records with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rtp_dagster.backfill.arrivals import Memory, arrivals
from rtp_workers.batch.file_states import folder_states
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_files import purged_rows
from rtp_workers.settings import PlatformSettings
from tests.conftest import Stack, StartRtp
from tests.csv_files import settle, write_settled
from tests.integration.test_csv_sources import HEADER, Loader, july, loader  # noqa: F401 - the fixture
from tests.programs import run_rtp
from tests.reading import query

OWN = "transaction_id,occurred_at,amount\n"
LATER_S = 4e9


def states(loader: Loader) -> dict[str, str]:  # noqa: F811 - the fixture's name
    done = run_rtp("files", "--json", env=loader.stack.env)
    return {file["file"]: file["state"] for file in json.loads(done.stdout)["files"]}


def asked_for(loader: Loader) -> list[str]:  # noqa: F811 - the fixture's name
    """Returns the files that the arrival sensor would start a run for, now that they have rested."""
    settings = PlatformSettings(data_dir=Path(loader.stack.env["RTP_DATA_DIR"]))  # type: ignore[call-arg]
    connection = connect(loader.stack.endpoints.need("postgres_read_dsn"), "rtp-test", autocommit=True)
    try:
        found = folder_states(settings, connection)
    finally:
        connection.close()
    seen = arrivals(found, Memory(), set(), LATER_S, 10).memory
    return [state.name for state in arrivals(found, seen, set(), LATER_S + 1000, 10).ready]


def test_a_purged_file_is_not_loaded_again_by_itself(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    path = write_settled(Path(loader.stack.env["RTP_DATA_DIR"]) / "july.csv", HEADER + july(10, 19))
    loader.rtp("load", str(path))
    assert states(loader) == {"july.csv": "loaded"}
    loader.rtp("purge", "--file", "july.csv", "--yes")
    assert states(loader) == {"july.csv": "purged"}
    assert "rtp load july.csv" in loader.rtp("files")
    assert asked_for(loader) == []
    connection = connect(loader.stack.endpoints.need("postgres_read_dsn"), "rtp-test", autocommit=True)
    assert purged_rows(connection) == {"july.csv": 10}
    connection.close()
    os.utime(path)
    assert states(loader) == {"july.csv": "waiting"}
    assert asked_for(loader) == ["july.csv"]
    loader.rtp("load", str(settle(path)))
    assert (states(loader), loader.count()) == ({"july.csv": "loaded"}, 10)


def test_a_purge_waits_until_the_consumer_has_written_the_load(
    stack: Stack, start_rtp: StartRtp, tmp_path: Path
) -> None:
    files = Loader(stack, tmp_path)
    files.load("july.csv", HEADER + july(10, 19))
    in_vain = run_rtp("purge", "--file", "july.csv", "--yes", "--timeout", "2", env=stack.env)
    assert in_vain.returncode != 0
    assert "nothing was deleted" in in_vain.stderr
    assert "rtp status" in in_vain.stderr
    waiting = subprocess.Popen(
        [sys.executable, "-m", "rtp_workers.cli.main", "purge", "--file", "july.csv", "--yes", "--timeout", "300"],
        env=stack.env,
    )
    start_rtp("consume", "--no-api", env=stack.env)
    assert waiting.wait(300) == 0
    assert files.count() == 0
    nothing_comes_any_more(stack)
    assert files.count() == 0


def test_a_purge_waits_for_the_records_that_a_replay_has_just_sent(
    stack: Stack, start_rtp: StartRtp, tmp_path: Path
) -> None:
    files = Loader(stack, tmp_path)
    files.load("first.csv", OWN + "T-1,2026-03-01T10:00:00Z,5.25\n")
    files.load("second.csv", OWN + "T-1,2026-03-01T10:00:00Z,7.00\n")
    files.rtp("consume", "--no-api", "--until-idle", "2s")
    files.rtp("purge", "--file", "first.csv", "--yes")
    files.rtp("dead-letters", "replay", "--reason", "conflicting_duplicate")
    in_vain = run_rtp("purge", "--file", "second.csv", "--yes", "--timeout", "1", env=stack.env)
    assert in_vain.returncode != 0
    assert "1 record of the load is not in PostgreSQL" in in_vain.stderr
    assert files.count("select count(*) as n from dead_letters") == 1
    start_rtp("consume", "--no-api", env=stack.env)
    files.rtp("purge", "--file", "second.csv", "--yes", "--timeout", "50")
    nothing_comes_any_more(stack)
    assert files.count() == 0


def nothing_comes_any_more(stack: Stack) -> None:
    """Waits until no record of the topic can come any more."""
    done = run_rtp("verify", "--json", "--timeout", "120s", env=stack.env)
    assert json.loads(done.stdout)["ok"], done.stdout


def test_a_replayed_dead_letter_is_undone_with_its_load(loader: Loader) -> None:  # noqa: F811 - the fixture's name
    loader.load("first.csv", OWN + "T-1,2026-03-01T10:00:00Z,5.25\n")
    loader.load("second.csv", OWN + "T-1,2026-03-01T10:00:00Z,7.00\nT-2,2026-03-02T10:00:00Z,1.00\n")
    [letter] = query(loader.stack, "select reason, load_id from dead_letters")
    assert letter["reason"] == "conflicting_duplicate"
    loader.rtp("purge", "--file", "first.csv", "--yes")
    loader.rtp("dead-letters", "replay", "--reason", "conflicting_duplicate")
    assert json.loads(loader.rtp("verify", "--json", "--timeout", "120s"))["ok"]
    rows = query(loader.stack, "select transaction_id, load_id from transactions order by 1")
    assert rows == [{"transaction_id": f"T-{number}", "load_id": letter["load_id"]} for number in (1, 2)]
    loader.rtp("purge", "--file", "second.csv", "--yes")
    assert loader.count() == 0
    assert loader.count("select count(*) as n from dead_letters") == 0
