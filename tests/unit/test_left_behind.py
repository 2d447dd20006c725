"""Data of PostgreSQL outside the home: whose it is, and what a deleted home leaves behind."""

from __future__ import annotations

from pathlib import Path

from rtp_workers.local.unprivileged import LOCATION_NOTE, OUR_FOLDER, left_behind, note_home


def made_for(root: Path, home: Path) -> Path:
    folder = root / OUR_FOLDER / f"server-{home.name}"
    folder.mkdir(parents=True)
    (home / LOCATION_NOTE).parent.mkdir(parents=True)
    (home / LOCATION_NOTE).write_text(str(folder))
    note_home(folder, home)
    return folder


def test_only_the_folder_of_a_deleted_home_is_left_behind(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("kept", "deleted")]
    folders = [made_for(tmp_path, home) for home in homes]
    assert list(left_behind((tmp_path,))) == []
    (homes[1] / LOCATION_NOTE).unlink()
    assert list(left_behind((tmp_path,))) == [(folders[1], homes[1])]


def test_a_home_that_moved_has_left_nothing_behind_once_it_has_started_again(tmp_path: Path) -> None:
    folder = made_for(tmp_path, tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    assert list(left_behind((tmp_path,))) == [(folder, tmp_path / "before")]
    note_home(folder, tmp_path / "after")
    assert list(left_behind((tmp_path,))) == []


def test_data_inside_the_home_needs_no_note(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "server").mkdir(parents=True)
    note_home(tmp_path / "postgres" / "server", tmp_path)
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == ["server"]
