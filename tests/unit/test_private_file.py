"""A private file: its owner's only, whole or not there at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtp_workers import private_file


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_its_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    private_file.write(tmp_path / "secret", "one")
    private_file.write(tmp_path / "fixed", "two", mode=0o400, durable=True)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "fixed").stat().st_mode) == 0o400


def test_it_replaces_what_is_there_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("a longer text that was there before")
    path.chmod(0o644)
    private_file.write(path, "new: Zürich")
    assert path.read_text("utf-8") == "new: Zürich"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["secret"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
    private_file.write(tmp_path / "secret", "mine")
    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert not (tmp_path / "secret").is_symlink()


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        private_file.write(path, "new", durable=True)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["secret"]


def test_written_once_the_first_one_stays(tmp_path: Path) -> None:
    assert private_file.write_once(tmp_path / "password", "first")
    assert not private_file.write_once(tmp_path / "password", "second")
    assert (tmp_path / "password").read_text() == "first"
    assert names(tmp_path) == ["password"]
