"""Object storage that fails while a CSV is read: what was acknowledged counts, and nothing is sent twice."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtp_workers.batch.load_errors import CancelledError
from rtp_workers.batch.load_file import LoadOptions, LoadReport, load_file
from rtp_workers.errors import TransientError
from rtp_workers.objects import versions
from rtp_workers.objects.errors import ObjectChangedError
from rtp_workers.settings import LoaderSettings
from tests.conftest import Stack
from tests.csv_files import canonical_text
from tests.integration.test_load_file import ids, wanted
from tests.object_store import ENVIRONMENT, S3, Asked, Fault, FaultyProxy, faulty_proxy, running_s3
from tests.tcp_proxy import TcpProxy

MEGABYTE = 1 << 20
ROWS = 90_000  # more than the 4 MB that every load reads to make its plan


@pytest.fixture(scope="module")
def store() -> Iterator[S3]:
    """One store for this file; each test writes below a prefix of its own."""
    with running_s3() as s3:
        yield s3


@pytest.fixture
def proxy(store: S3) -> Iterator[FaultyProxy]:
    """A proxy before the store, without faults at first."""
    with faulty_proxy(store.url) as made:
        yield made


@pytest.fixture
def short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are read by ranges of 1 MB, in this process."""
    monkeypatch.setattr(versions, "RANGE_BYTES", MEGABYTE)


def load(
    stack: Stack, address: str, url: str, options: LoadOptions | None = None, *, by_process: bool = False
) -> LoadReport:
    values: dict[str, Any] = {
        "home": stack.home,
        "data_dir": stack.home / "data",
        "topic": stack.topic,
        "loader_process_bytes": 0 if by_process else 1 << 40,
        "s3_endpoint_url": url,
        "s3_region": ENVIRONMENT["AWS_REGION"],
        "s3_access_key_id": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "s3_secret_access_key": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    }
    return load_file(address, stack.endpoints, LoaderSettings(**values), options)


def first_byte(asked: Asked) -> int:
    """Returns where the range of a request begins."""
    return int(asked.sent_range.removeprefix("bytes=").partition("-")[0] or 0)


def stop_at(proxy: FaultyProxy, key: str, offset: int) -> LoadOptions:
    """Returns options that cancel a load as soon as it asks for what is at `offset`; what was sent is kept.

    The look at the object's end, before the load begins, is no such question.
    """
    before = len(proxy.reads(key))

    def cancelled() -> bool:
        return any(offset <= first_byte(asked) < offset + MEGABYTE for asked in proxy.reads(key)[before:])

    return LoadOptions(cancelled=cancelled)


@pytest.mark.parametrize("by_process", [False, True], ids=["here", "by a second process"])
def test_answers_that_are_cut_off_or_ask_to_slow_down_cost_a_retry(
    stack: Stack, store: S3, proxy: FaultyProxy, *, by_process: bool
) -> None:
    address = store.put(f"cut/{by_process}.csv", canonical_text(range(ROWS)))

    def spoiled(asked: Asked) -> Fault | None:
        return {2: Fault(status=503), 3: Fault(cut_after_bytes=100_000), 5: Fault(status=503)}.get(asked.number)

    proxy.choose = spoiled
    report = load(stack, address, proxy.url, by_process=by_process)
    assert len(proxy.asked) > 5
    assert (report.rows_read, report.acknowledged, report.refused) == (ROWS, ROWS, 0)
    assert ids(stack) == wanted(range(ROWS))


def test_a_slow_store_is_waited_for(stack: Stack, store: S3) -> None:
    address = store.put("slow/may.csv", canonical_text(range(20_000)))
    host, _, port = store.url.removeprefix("http://").partition(":")
    with TcpProxy((host, int(port))) as slow:
        slow.slow(0.02, bytes_per_s=2_000_000)
        report = load(stack, address, f"http://127.0.0.1:{slow.port}", by_process=True)
    assert report.acknowledged == 20_000


@pytest.mark.usefixtures("short_ranges")
def test_a_stopped_load_resumes_by_range_and_its_copy_is_known_by_its_content(
    stack: Stack, store: S3, proxy: FaultyProxy
) -> None:
    rows = 120_000
    text = canonical_text(range(rows))
    address = store.put("range/may.csv", text)
    for megabytes in (5, 6):
        with pytest.raises(CancelledError):
            load(stack, address, proxy.url, stop_at(proxy, "range/may.csv", megabytes * MEGABYTE))
    before = len(proxy.reads("range/may.csv"))
    report = load(stack, address, proxy.url)
    assert (report.acknowledged, report.refused) == (rows, 0)
    assert report.resumed_rows > rows * 2 / 3
    assert ids(stack) == wanted(range(rows))
    started = sorted(map(first_byte, proxy.reads("range/may.csv")[before:]))
    # The plan needs the first 4 MB. What follows up to the stored byte is not asked for.
    assert started[:4] == [0, MEGABYTE, 2 * MEGABYTE, 3 * MEGABYTE]
    assert started[4] > 5 * MEGABYTE

    copied = load(stack, store.put("range/copy.csv", text), proxy.url)
    assert (copied.identity, copied.resumed_rows) == (report.identity, rows)


def test_an_object_that_was_loaded_is_known_without_reading_it_to_its_end(
    stack: Stack, store: S3, proxy: FaultyProxy
) -> None:
    address = store.put("known/may.csv", canonical_text(range(ROWS)))
    load(stack, address, proxy.url)
    before = len(proxy.reads("known/may.csv"))
    assert load(stack, address, proxy.url).resumed_rows == ROWS
    assert list(map(first_byte, proxy.reads("known/may.csv")[before:])) == [0]


FOREIGN = "Date;Text;Amount\n" + "".join(
    f"2026-01-{n % 28 + 1:02d};{n} a longer text of a purchase somewhere;-{n % 90},{n % 100:02d}\n" for n in range(ROWS)
)


@pytest.mark.usefixtures("short_ranges")
@pytest.mark.parametrize(
    "data",
    [gzip.compress(canonical_text(range(ROWS)).encode(), 0), FOREIGN.encode()],
    ids=["gzip", "derived ids"],
)
def test_what_has_no_offsets_to_ask_for_is_read_again_and_sent_once(
    stack: Stack, store: S3, proxy: FaultyProxy, data: bytes
) -> None:
    address = store.put("again/may.csv", data)
    with pytest.raises(CancelledError):
        load(stack, address, proxy.url, stop_at(proxy, "again/may.csv", 5 * MEGABYTE))
    report = load(stack, address, proxy.url)
    assert (report.rows_read, report.acknowledged) == (ROWS, ROWS)
    assert report.resumed_rows > 0
    found = ids(stack)
    assert (len(found), found.total()) == (ROWS, ROWS)


def replaced(store: S3, key: str, text: str, at: int) -> Callable[[Asked], Fault | None]:
    """Returns what replaces an object when its byte `at` is asked for."""
    done: list[bool] = []

    def choose(asked: Asked) -> Fault | None:
        if asked.method == "GET" and first_byte(asked) >= at and not done:
            done.append(True)
            store.put(key, text)
        return None

    return choose


@pytest.mark.parametrize("by_process", [False, True], ids=["here", "by a second process"])
def test_an_object_that_is_replaced_under_the_reader_ends_its_load_and_the_next_one_reads_the_new_one(
    stack: Stack, store: S3, proxy: FaultyProxy, *, by_process: bool
) -> None:
    key = f"replaced/{by_process}.csv"
    address = store.put(key, canonical_text(range(ROWS)))
    proxy.choose = replaced(store, key, canonical_text(range(ROWS, 2 * ROWS)), versions.RANGE_BYTES)
    with pytest.raises(ObjectChangedError, match=rf"{address} was replaced or deleted while it was read"):
        load(stack, address, proxy.url, by_process=by_process)
    report = load(stack, address, proxy.url, by_process=by_process)
    assert (report.resumed_rows, report.acknowledged) == (0, ROWS)
    found = ids(stack)
    assert all(found[number] == 1 for number in wanted(range(ROWS, 2 * ROWS)))
    assert max(found.values()) == 1


@pytest.mark.usefixtures("short_ranges")
@pytest.mark.parametrize("begins_alike", [True, False])
def test_an_object_that_has_changed_since_a_stopped_load_is_proven_by_its_content(
    stack: Stack, store: S3, proxy: FaultyProxy, *, begins_alike: bool
) -> None:
    address = store.put("since/may.csv", canonical_text(range(ROWS)))
    with pytest.raises(CancelledError):
        load(stack, address, proxy.url, stop_at(proxy, "since/may.csv", 5 * MEGABYTE))
    numbers = [*range(ROWS + 100)] if begins_alike else [*range(100), *range(ROWS, 2 * ROWS)]
    store.put("since/may.csv", canonical_text(numbers))
    report = load(stack, address, proxy.url)
    assert report.acknowledged == len(numbers)
    assert bool(report.resumed_rows) is begins_alike
    if begins_alike:
        assert ids(stack) == wanted(range(ROWS + 100))


def test_a_store_that_is_away_is_a_passing_trouble(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtp_workers.objects.access.MAX_RETRIES", 1)
    with pytest.raises(TransientError, match=r"s3://exports/may\.csv: cannot read it"):
        load(stack, "s3://exports/may.csv", "http://127.0.0.1:1")


@pytest.mark.usefixtures("short_ranges")
def test_the_list_of_refused_rows_goes_on_in_another_pod(stack: Stack, store: S3, proxy: FaultyProxy) -> None:
    half = canonical_text(range(ROWS // 2)) + "first,bad,row\n"
    address = store.put("pods/may.csv", half + canonical_text(range(ROWS // 2, ROWS), header=False) + "last,bad,row\n")
    with pytest.raises(CancelledError):
        load(stack, address, proxy.url, stop_at(proxy, "pods/may.csv", 5 * MEGABYTE))
    shutil.rmtree(stack.home / "refused")
    report = load(stack, address, proxy.url)
    assert (report.acknowledged, report.refused) == (ROWS, 2)
    listed = store.get(report.refused_at.removeprefix("s3://exports/")).decode()
    assert [line.split(",", 1)[0] for line in listed.splitlines()[1:]] == [str(ROWS // 2 + 2), str(ROWS + 3)]


def test_a_store_that_takes_no_list_of_refused_rows_is_told_and_the_rows_are_loaded(
    stack: Stack, store: S3, proxy: FaultyProxy
) -> None:
    address = store.put("read-only/may.csv", canonical_text(range(20)) + "one,bad,row\n")
    proxy.choose = lambda asked: Fault(status=403) if asked.method == "PUT" else None
    report = load(stack, address, proxy.url)
    assert (report.acknowledged, report.refused) == (20, 1)
    assert "on this machine only" in report.warnings[0]
    assert report.refused_at == str(report.refused_file)
    assert Path(report.refused_at).read_text().count("one,bad,row") == 1


def test_progress_waits_for_the_list_of_refused_rows(
    stack: Stack, store: S3, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtp_workers.objects.access.MAX_RETRIES", 1)
    address = store.put("away/may.csv", canonical_text(range(20)) + "one,bad,row\n")
    proxy.choose = lambda asked: Fault(status=503) if asked.method == "PUT" else None
    with pytest.raises(TransientError, match="cannot write it"):
        load(stack, address, proxy.url)
    proxy.choose = lambda asked: None
    report = load(stack, address, proxy.url)
    assert (report.resumed_rows, report.rows_read, report.refused) == (0, 21, 1)
    assert store.get(report.refused_at.removeprefix("s3://exports/")).decode().count("one,bad,row") == 1
