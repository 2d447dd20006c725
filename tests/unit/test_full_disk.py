"""A full disk is named as the cause of what the servers on it say."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtp_workers.consumer.disk import full_disk


@pytest.mark.parametrize(("free", "is_full"), [(0, True), (19_000_000, True), (30_000_000, False)])
def test_a_full_disk_is_told_with_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, is_full: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    said = full_disk(tmp_path)
    assert (said is not None) == is_full
    assert said is None or str(tmp_path) in said


def test_a_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert full_disk(tmp_path / "gone") is None
