"""Opening a CSV safely: what is refused, what is unpacked, and what a half-written file gives."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from rtp_workers.batch.source_file import open_source, read_sample
from rtp_workers.errors import ConfigError, FatalError, TransientError
from tests.csv_files import write_settled

TEXT = b"a,b\n1,2\n" * 5_000


@pytest.mark.parametrize(
    "packed",
    [TEXT, gzip.compress(TEXT), zstandard.compress(TEXT), gzip.compress(TEXT[:8000]) + gzip.compress(TEXT[8000:])],
    ids=["plain", "gzip", "zstd", "two gzip members"],
)
def test_content_is_read_unpacked_whatever_the_name(tmp_path: Path, packed: bytes) -> None:
    with open_source(str(write_settled(tmp_path / "a.csv", packed))) as source:
        assert read_sample(source, 1 << 20) == TEXT
        assert source.position_bytes() == len(packed)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_an_archive_that_is_cut_off_is_an_error(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    cut = pack(os.urandom(50_000))[:40_000]
    with (
        open_source(str(write_settled(tmp_path / "a.csv.gz", cut))) as source,
        pytest.raises(FatalError, match="cannot be read to its end"),
    ):
        read_sample(source, 1 << 20)


def test_a_change_after_opening_is_noticed(tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", TEXT)
    with open_source(str(path)) as source:
        source.refuse_changed()
        path.write_bytes(TEXT * 2)
        with pytest.raises(TransientError, match="changed while it was read"):
            source.refuse_changed()


@pytest.mark.parametrize("kind", ["folder", "FIFO", "device"])
def test_irregular_files_are_refused_without_hanging(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    with pytest.raises(ConfigError, match=kind), open_source(str(path)):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv"), open_source(str(tmp_path / "nowhere.csv")):
        pass


def test_a_file_renamed_over_an_open_one_is_not_read(tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", TEXT)
    with open_source(str(path)) as source:
        read_sample(source, 10)
        write_settled(tmp_path / "b.csv", b"other\n").rename(path)
        assert read_sample(source.second_look(), 1 << 20) == TEXT
        assert read_sample(source, 1 << 20) == TEXT[10:]  # the first reader was not moved
        source.refuse_changed()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_second_look_at_a_packed_file_starts_at_its_beginning(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    with open_source(str(write_settled(tmp_path / "a.csv.gz", pack(TEXT)))) as source:
        read_sample(source, 10)
        assert read_sample(source.second_look(), 1 << 20) == TEXT
