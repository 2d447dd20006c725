"""Files made to keep a reader busy end at once, with a sentence; what is merely repetitive loads."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.source_file import open_source
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.sources import read_sources
from tests.csv_files import write_settled

ZEROS = bytes(200_000_000)


def read_all(path: Path, **limits: Any) -> int:
    total = 0
    with open_source(str(path), **limits) as source:
        while data := source.read(1 << 18):
            total += len(data)
    return total


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_refused_long_before_its_end(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    path = write_settled(tmp_path / "a.csv.gz", pack(ZEROS))
    with pytest.raises(ConfigError, match="RTP_LOADER_MAX_RATIO"):
        read_all(path)
    assert read_all(path, max_ratio=1e6) == len(ZEROS)


def test_a_repetitive_file_is_no_bomb(tmp_path: Path) -> None:
    text = b"".join(b"2026-01-01,Shop %d,-1.00\n" % (number % 1000) for number in range(1_500_000))
    assert len(text) > 32_000_000
    assert read_all(write_settled(tmp_path / "a.csv.gz", gzip.compress(text, 1))) == len(text)


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", b"a,b\n" + bytes(10_000_000))
    with open_source(str(path)) as source:
        reader = BlockReader(source, "utf-8", max_line_bytes=4_000_000, name=source.name)
        block = reader.next_block()
        assert block is not None
        reader.advance(block)
        with pytest.raises(ConfigError, match=r"a\.csv: a line has no end within 4,000,000 bytes"):
            reader.next_block()
        assert source.position_bytes() < 8_000_000


def test_a_nested_mapping_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text("x=" + "[" * 100_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_sources(path)
