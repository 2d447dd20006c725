"""docs/operations.md, 'Back up and restore PostgreSQL': the commands of that page, under live load."""

from __future__ import annotations

from tests.compose.docker import Project, eventually

WRITERS = ("consumer-streaming-api", "batch-processor")
LIMIT_S = 240


def test_a_restored_backup_catches_up_from_kafka_without_loss_or_repetition(platform: Project) -> None:
    dump = platform.piped("exec", "-T", "postgres", "pg_dump", "-U", "postgres", "-Fc", "rtp")
    backed_up = platform.rows()
    eventually(lambda: platform.rows() > backed_up + 200, LIMIT_S, "rows after the backup")
    platform.compose("stop", *WRITERS)
    lost_later = platform.rows()
    restore = ("pg_restore", "-U", "postgres", "-d", "rtp", "--clean", "--if-exists", "--single-transaction")
    platform.piped("exec", "-T", "postgres", *restore, stdin=dump)
    assert platform.rows() <= backed_up < lost_later
    platform.compose("up", "--detach")
    platform.wait_healthy()
    eventually(lambda: platform.rows() >= lost_later, LIMIT_S, "the rows read again")
    found = platform.verify()
    assert found["ok"], found
