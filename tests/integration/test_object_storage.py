"""CSV files in object storage, against a real S3 API over HTTP: loads, faults of the store, and what each costs."""

from __future__ import annotations

import gzip
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stack, StartRtp
from tests.csv_files import canonical_text
from tests.object_store import S3, plain_web_server, running_s3
from tests.programs import clean_env, run_rtp
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def store() -> Iterator[S3]:
    """One store for this file; each test writes below a prefix of its own."""
    with running_s3() as s3:
        yield s3


def test_objects_are_loaded_by_a_pattern_and_known_again(stack: Stack, store: S3) -> None:
    for month in range(3):
        rows = canonical_text(range(month * 100, month * 100 + 100))
        store.put(f"pattern/{month}.csv.gz", gzip.compress(rows.encode()))
    store.put("pattern/other.txt", "not asked for")
    store.put("pattern/deeper/3.csv.gz", b"not asked for")
    env = {**stack.env, **store.environment()}

    loaded = run_rtp("load", "--json", "s3://exports/pattern/*.csv.gz", env=env)
    assert loaded.returncode == 0, loaded.stderr
    files = json.loads(loaded.stdout)["files"]
    assert [(file["file"], file["acknowledged"]) for file in files] == [(f"{n}.csv.gz", 100) for n in range(3)]

    again = json.loads(run_rtp("load", "--json", "s3://exports/pattern/1.csv.gz", env=env).stdout)["files"]
    assert (again[0]["resumed_rows"], again[0]["acknowledged"]) == (100, 100)


def test_an_object_is_looked_at_without_loading_it(stack: Stack, store: S3) -> None:
    address = store.put("look/may.csv", canonical_text(range(20)))
    shown = run_rtp("load", "--dry-run", "--json", address, env={**stack.env, **store.environment()})
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["encoding"] == "utf-8"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3://exports/nowhere/may.csv", "s3://exports/nowhere/may.csv does not exist"),
        ("s3://exports/nowhere/*.csv", "no object matches s3://exports/nowhere/*.csv"),
        ("s3://no-such-bucket/*.csv", "there is no bucket no-such-bucket"),
        ("s3://exports/a//b.csv", "s3://exports/a//b.csv: cannot"),
    ],
)
def test_what_is_not_there_is_told_by_its_name(stack: Stack, store: S3, address: str, told: str) -> None:
    refused = run_rtp("load", address, env={**stack.env, **store.environment()})
    assert refused.returncode != 0
    assert told in refused.stderr


def test_the_store_is_reached_with_credentials_from_secret_files(stack: Stack, store: S3) -> None:
    address = store.put("secrets/may.csv", canonical_text(range(20)))
    folder = stack.home / "secrets-of-the-store"
    folder.mkdir()
    given = {"rtp_s3_endpoint_url": store.url, "rtp_s3_access_key_id": "tester", "rtp_s3_secret_access_key": "hidden"}
    for name, value in given.items():
        (folder / name).write_text(value + "\n")
    loaded = run_rtp("load", "--json", address, env={**stack.env, "RTP_SECRETS_DIR": str(folder)})
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout)["files"][0]["acknowledged"] == 20


def with_refused(numbers: range, refused: int) -> str:
    """Returns a CSV with so many rows below the valid ones that no record can be made of."""
    return canonical_text(numbers) + "one,bad,row\n" * refused


def test_refused_rows_are_listed_next_to_the_object_and_shown_on_another_machine(
    stack: Stack, store: S3, tmp_path: Path
) -> None:
    address = store.put("refused-rows/my may.csv", with_refused(range(20), 3))
    env = {**stack.env, **store.environment()}
    report = json.loads(run_rtp("load", "--json", address, env=env).stdout)["files"][0]
    assert (report["acknowledged"], report["refused"]) == (20, 3)
    listed = report["refused_file"]
    assert listed.startswith("s3://exports/refused-rows/refused/my_may.csv.")
    assert store.get(listed.removeprefix("s3://exports/")).decode().count("one,bad,row") == 3

    elsewhere = {**env, "RTP_HOME": str(tmp_path)}
    shown = run_rtp("refused", "list", "s3://exports/refused-rows", env=elsewhere)
    assert shown.stdout == f"my_may.csv: 3 rows refused, in {listed}\n"
    shown = run_rtp("refused", "show", "--json", address, env=elsewhere)
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(row["line"], row["row"]) for row in rows] == [(str(22 + n), "one,bad,row") for n in range(3)]


def test_refused_rows_go_where_the_setting_says(stack: Stack, store: S3) -> None:
    address = store.put("setting/may.csv", with_refused(range(20), 2))
    env = {**stack.env, **store.environment(), "RTP_REFUSED_DIR": "s3://exports/kept/here"}
    assert json.loads(run_rtp("load", "--json", address, env=env).stdout)["files"][0]["refused"] == 2
    assert len(store.names("kept/here/may.csv.")) == 1
    assert not store.names("setting/refused/")
    assert run_rtp("refused", "list", env=env).stdout.startswith("may.csv: 2 rows refused, in s3://exports/kept/here/")


SIGNATURE = "X-Amz-Signature=7c5a0f1e"


def test_a_signed_web_address_is_read_and_its_signature_told_to_nobody(stack: Stack, store: S3) -> None:
    store.put("signed/may.csv", canonical_text(range(30)) + "one,bad,row\n")
    env = {**stack.env, "RTP_LOG_LEVEL": "DEBUG"}
    loaded = run_rtp("load", "--json", f"{store.url}/exports/signed/may.csv?{SIGNATURE}", env=env)
    report = json.loads(loaded.stdout)["files"][0]
    assert (report["file"], report["acknowledged"], report["refused"]) == ("may.csv", 30, 1)
    assert report["refused_file"].startswith(str(stack.home))  # a web server takes no list
    missing = run_rtp("load", f"{store.url}/exports/signed/june.csv?{SIGNATURE}", env=env)
    assert "june.csv does not exist" in missing.stderr
    listed = run_rtp("load", f"{store.url}/exports/signed/*.csv?{SIGNATURE}", env=env)
    assert "does not exist" in listed.stderr
    away = run_rtp("load", f"http://127.0.0.1:1/may.csv?{SIGNATURE}", env=env)
    assert "cannot read it" in away.stderr
    for told in (loaded, missing, listed, away):
        assert told.returncode == (0 if told is loaded else told.returncode)
        assert "7c5a0f1e" not in told.stdout + told.stderr


def test_a_web_server_without_ranges_is_read_in_one_go(stack: Stack, tmp_path: Path) -> None:
    rows = 90_000  # more than one range would hold
    (tmp_path / "may 1.csv").write_text(canonical_text(range(rows)))
    (tmp_path / "may.csv.gz").write_bytes(gzip.compress(canonical_text(range(rows, 2 * rows)).encode()))
    with plain_web_server(tmp_path) as url:
        for name, process_bytes in (("may%201.csv", "0"), ("may.csv.gz", "1000000000000")):
            env = {**stack.env, "RTP_LOADER_PROCESS_BYTES": process_bytes}
            loaded = run_rtp("load", "--json", f"{url}/{name}", env=env)
            assert loaded.returncode == 0, loaded.stderr
            assert json.loads(loaded.stdout)["files"][0]["acknowledged"] == rows


def test_ctrl_c_does_not_wait_for_a_store_that_hangs(store: S3, home: Path, start_rtp: StartRtp) -> None:
    address = store.put("hangs/may.csv", canonical_text(range(3)))
    host, _, port = store.url.removeprefix("http://").partition(":")
    with TcpProxy((host, int(port))) as silent:
        silent.half_open()
        env = clean_env(RTP_HOME=str(home), **store.environment(f"http://127.0.0.1:{silent.port}"))
        looking = start_rtp("load", "--dry-run", address, env=env)
        wait_until(lambda: silent.connections > 0, what="the request to the store")
        asked_at = time.monotonic()
        looking.signal(signal.SIGINT)
        assert looking.wait() == 130
        assert time.monotonic() - asked_at < 25  # a single try takes 30 s
