"""Recording a start of Kafka once, for all later ones."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rtp_workers.errors import FatalError
from rtp_workers.local import kafka_start
from rtp_workers.local.kafka_server import java_program


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = kafka_start.cache_file(java_program())
    assert file.is_relative_to(tmp_path)
    file.parent.mkdir()
    return file


def test_of_several_that_need_it_one_records(cache: Path) -> None:
    recorded: list[Path] = []

    def record(draft: Path) -> None:
        recorded.append(draft)
        threading.Event().wait(0.2)
        draft.write_bytes(b"learned")

    threads = [threading.Thread(target=kafka_start.ensure_recorded, args=(java_program(), record)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded) == 1
    assert cache.read_bytes() == b"learned"
    assert kafka_start.options(java_program())[0] == f"-XX:AOTCache={cache}"


def test_one_that_failed_is_not_tried_again_and_starts_go_without(cache: Path) -> None:
    def record(draft: Path) -> None:
        raise FatalError("no room")

    kafka_start.ensure_recorded(java_program(), record)
    kafka_start.ensure_recorded(java_program(), lambda _: pytest.fail("recorded again"))
    assert kafka_start.options(java_program()) == ()


def test_one_that_was_interrupted_is_tried_again(cache: Path) -> None:
    def record(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kafka_start.ensure_recorded(java_program(), record)
    assert not cache.exists()
    kafka_start.ensure_recorded(java_program(), lambda draft: draft.touch())
    assert cache.read_bytes() == b"", "what was interrupted is not taken for whole"
