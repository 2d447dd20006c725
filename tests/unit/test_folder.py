"""The data folder: what can be loaded, and that one odd entry is refused alone, by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.folder import list_folder
from rtp_workers.errors import ConfigError


def test_the_data_folder_gives_its_csvs_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "notes.md", ".hidden.csv", "c.csv.part"):
        (tmp_path / name).write_text("x")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == ["a.csv.gz", "b.csv"]
    assert listing.refused == ()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", "it is a folder"),
        ("fifo", "not a regular file"),
        ("link out", "leads out of the data folder"),
        ("link out to a folder", "leads out of the data folder"),
        ("dangling", "does not exist"),
        ("loop", "loop of links|does not exist"),
    ],
)
def test_an_odd_entry_is_refused_alone(tmp_path: Path, kind: str, reason: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("x")
    (folder / "good.csv").write_text("x")
    odd = folder / "odd.csv"
    if kind == "folder":
        odd.mkdir()
    elif kind == "fifo":
        os.mkfifo(odd)
    else:
        targets = {"link out": "secret.csv", "link out to a folder": ".", "dangling": "data/none.csv"}
        odd.symlink_to(tmp_path / targets[kind] if kind in targets else odd)
    listing = list_folder(folder)
    assert [file.name for file in listing.files] == ["good.csv"]
    [refused] = listing.refused
    assert refused.name == "odd.csv"
    assert any(part in refused.reason for part in reason.split("|"))


def test_a_link_inside_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "latest.csv").symlink_to(tmp_path / "a.csv")
    assert [file.name for file in list_folder(tmp_path).files] == ["a.csv", "latest.csv"]


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="RTP_DATA_DIR"):
        list_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain.csv", "plain.csv"),
        ("Umsätze.csv".encode(), "Umsätze.csv"),
        (b"Ums\xe4tze.csv", r"Ums\xe4tze.csv"),
        (b"a\x1b[31m.csv", r"a\x1b[31m.csv"),
        (b"line\nbreak.csv", r"line\x0abreak.csv"),
        ("right\u202eleft.csv".encode(), r"right\u202eleft.csv"),
    ],
)
def test_a_name_is_shown_escaped(tmp_path: Path, raw: bytes, shown: str) -> None:
    path = tmp_path / os.fsdecode(raw)
    path.write_text("x")
    assert shown_name(path) == shown
    assert [file.name for file in list_folder(tmp_path).files] == [shown]
    shown.encode()
