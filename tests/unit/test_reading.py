"""A file read by a second process: the same chunks as read here, the same errors, and nothing left behind."""

from __future__ import annotations

import gzip
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from rtp_workers.batch.chunks import Chunk
from rtp_workers.batch.planning import Overrides, plan_file
from rtp_workers.batch.progress import Start
from rtp_workers.batch.reading import COUNTS_FOLDER, Reading
from rtp_workers.batch.source_file import open_source
from rtp_workers.errors import FatalError, TransientError
from rtp_workers.postgres.csv_loads import Progress
from rtp_workers.settings import LoaderSettings, load
from tests.csv_files import canonical_text, write_settled

ROWS = 3_000
CANONICAL = canonical_text(range(ROWS)) + "one,bad,row\n" + canonical_text(range(ROWS, ROWS + 5), header=False)
# No id of its own, and each row twice: the number among identical rows is part of the id.
FOREIGN = "Datum;Betrag;Text\n" + "".join(f"{day:02}.01.2026;-{day},50;Laden {day}\n" * 2 for day in range(13, 29)) * 90

WITH_IDS = "Transaktions-ID;Datum;Betrag;Text\n" + "".join(
    f"T{number:08};{13 + number % 15}.01.2026;-{1 + number % 90},50;Laden {number % 7}\n" for number in range(ROWS)
)

NEW = Start("", Progress())


def read(path: Path, *, by_process: bool, start: Progress | None = None, block_bytes: int = 1 << 14) -> list[Chunk]:
    settings = load(
        LoaderSettings,
        home=path.parent / "home",
        loader_block_bytes=block_bytes,
        loader_process_bytes=0 if by_process else 1 << 40,
    )
    settings.home.mkdir(exist_ok=True)
    with open_source(str(path)) as source, closing(Reading(source, settings)) as reading:
        planned = plan_file(source, settings, Overrides())
        assert not planned.plan.undecided
        return list(reading.chunks(planned, Start("", start or Progress())))


def values(chunks: list[Chunk]) -> list[bytes]:
    return [value for chunk in chunks for value in chunk.encoded.values]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "reading_process" in " ".join(child.cmdline())]


@pytest.mark.parametrize("text", [CANONICAL, WITH_IDS, FOREIGN], ids=["canonical", "foreign", "derived ids"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_chunks_are_those_of_reading_here_from_the_start_and_from_the_middle(
    tmp_path: Path, text: str, packed: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    here = read(path, by_process=False)
    assert len(here) > 3
    assert read(path, by_process=True) == here
    middle = len(here) // 2
    rest = read(path, by_process=True, start=here[middle].progress)
    assert values(rest) == values(here[middle + 1 :])
    assert (rest[-1].progress, rest[-1].digest) == (here[-1].progress, here[-1].digest)
    assert not children()
    assert not list((tmp_path / "home" / COUNTS_FOLDER).glob("*"))


def test_damaged_data_is_the_error_that_it_is_here(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    packed = gzip.compress((CANONICAL * 20).encode(), 1)
    path.write_bytes(packed[: len(packed) - 2_000])
    with pytest.raises(FatalError) as here:
        read(path, by_process=False)
    with pytest.raises(FatalError) as there:
        read(path, by_process=True)
    assert str(there.value) == str(here.value)
    assert not children()


def test_a_process_that_dies_is_a_passing_trouble_that_says_what_to_do(tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", CANONICAL * 20)
    settings = load(LoaderSettings, home=tmp_path, loader_process_bytes=0)
    with open_source(str(path)) as source, closing(Reading(source, settings)) as reading:
        chunks = reading.chunks(plan_file(source, settings, Overrides()), NEW)
        next(chunks)
        (process,) = children()
        process.kill()
        with pytest.raises(TransientError, match=r"a\.csv.*ended with code -9, .*run the load again"):
            list(chunks)


def test_reading_may_be_given_up_at_any_moment(tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", CANONICAL * 20)
    settings = load(LoaderSettings, home=tmp_path, loader_process_bytes=0)
    for read_chunks in (0, 1):
        with open_source(str(path)) as source, closing(Reading(source, settings)) as reading:
            planned = plan_file(source, settings, Overrides())
            chunks = reading.chunks(planned, NEW)
            for _ in range(read_chunks):
                next(chunks)
            assert children()
        assert not children()
