"""Opening a CSV safely: what is refused, what is unpacked, and what a half-written file gives."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from rtp_workers.batch.source_file import find_files, open_source, read_sample
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


def test_the_data_folder_gives_its_csvs_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "notes.md", ".hidden.csv", "c.csv.part"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in find_files(tmp_path)] == ["a.csv.gz", "b.csv"]


def test_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("x")
    (folder / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(ConfigError, match="leads out of the data folder"):
        find_files(folder)


def test_a_fifo_in_the_data_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="not a regular file"):
        find_files(tmp_path)
