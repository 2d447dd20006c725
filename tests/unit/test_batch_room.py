"""How large a batch may be after this process has run out of memory."""

from __future__ import annotations

from rtp_workers.consumer.batch_room import GROWS_AFTER_S, BatchRoom

now_s = [0.0]


def room_of(rows: int, size_bytes: int) -> BatchRoom:
    now_s[0] = 0.0
    return BatchRoom(rows, size_bytes, read=lambda: now_s[0])


def test_batches_shrink_to_single_records_and_no_further() -> None:
    room = room_of(10_000, 4_000_000)
    rows = []
    while room.shrink():
        rows.append(room.rows)
    assert rows == [2_500, 625, 156, 39, 9, 2, 1]
    assert room.bytes >= 1
    assert room.warning() is not None


def test_batches_grow_again_step_by_step_when_memory_has_sufficed_for_a_while() -> None:
    room = room_of(100, 1_000)
    room.shrink()
    room.shrink()
    room.grow_when_due()
    assert (room.rows, room.bytes) == (6, 62)
    now_s[0] = GROWS_AFTER_S + 1
    room.grow_when_due()
    room.grow_when_due()
    assert (room.rows, room.bytes) == (25, 250)
    now_s[0] *= 2
    room.grow_when_due()
    assert (room.rows, room.bytes) == (100, 1_000)
    assert room.warning() is None


def test_another_shortage_starts_the_wait_again() -> None:
    room = room_of(100, 1_000)
    room.shrink()
    now_s[0] = GROWS_AFTER_S
    room.shrink()
    now_s[0] = GROWS_AFTER_S + 1
    room.grow_when_due()
    assert room.rows == 6
