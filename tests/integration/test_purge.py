"""Purging on a real server: what is asked for goes, the rest stays, and the ledger still adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from rtp_workers.errors import AttentionError, ConfigError, TransientError
from rtp_workers.postgres import dead_letters
from rtp_workers.postgres import purge as purging
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.purge import Criteria, purge
from rtp_workers.reconcile.verify import verify
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.reading import query
from tests.records import body, produce

YEAR_2025 = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def stored(stack: Stack) -> Stack:
    """t0..t9 of customers C0 and C1, half of them of 2024, and one dead letter that has no key."""
    records = [body(f"t{i}", customer_id=f"C{i % 2}", occurred_at=f"{2024 + i % 2}-06-01T00:00:00Z") for i in range(10)]
    produce(stack, [*records, b"not json"])
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr
    return stack


def ids(stack: Stack) -> set[str]:
    return {row["transaction_id"] for row in query(stack, "select transaction_id from transactions")}


def dsn(stack: Stack) -> str:
    return stack.endpoints.need("postgres_dsn")


@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        (Criteria(ids=("t1", "t2", "nothing")), {"t0", "t3", "t4", "t5", "t6", "t7", "t8", "t9"}),
        (Criteria(customer_id="C0"), {"t1", "t3", "t5", "t7", "t9"}),
        (Criteria(before=YEAR_2025), {"t1", "t3", "t5", "t7", "t9"}),
    ],
    ids=["ids", "customer", "before"],
)
def test_what_is_asked_for_goes_and_everything_still_adds_up(stored: Stack, criteria: Criteria, left: set[str]) -> None:
    planned = purge(dsn(stored), criteria, dry_run=True)
    assert len(ids(stored)) == 10
    done = purge(dsn(stored), criteria)
    assert ids(stored) == left
    assert (planned.rows, planned.dead_letters) == (done.rows, done.dead_letters) == (10 - len(left), 0)
    assert purge(dsn(stored), criteria).rows == 0
    found = verify(stored.endpoints, stored.topic, timeout_s=0)
    assert (found.ok, found.rows, found.inserted) == (True, len(left), 10)


def test_a_customers_dead_letters_go_with_the_customer(stored: Stack) -> None:
    query(stored, "update dead_letters set key = 'C1'")
    done = purge(dsn(stored), Criteria(customer_id="C1"))
    assert (done.rows, done.dead_letters) == (5, 1)
    assert verify(stored.endpoints, stored.topic, timeout_s=0).ok


def test_old_dead_letters_go_alone(stored: Stack) -> None:
    assert purge(dsn(stored), Criteria(dead_letters_before=YEAR_2025)).dead_letters == 0
    done = purge(dsn(stored), Criteria(dead_letters_before=datetime.now(UTC)))
    assert (done.rows, done.dead_letters) == (0, 1)
    assert verify(stored.endpoints, stored.topic, timeout_s=0).ok


def test_a_purged_id_may_come_again(stored: Stack) -> None:
    purge(dsn(stored), Criteria(ids=("t1",)))
    produce(stored, [body("t1", customer_id="C7")])
    run_rtp("consume", "--no-api", "--until-idle", "1s", env=stored.env)
    assert query(stored, "select customer_id from transactions where transaction_id = 't1'") == [{"customer_id": "C7"}]
    assert verify(stored.endpoints, stored.topic, timeout_s=0).ok


def test_what_is_kept_of_an_erasure_does_not_name_the_erased(stored: Stack) -> None:
    purge(dsn(stored), Criteria(customer_id="C0"))
    purge(dsn(stored), Criteria(ids=("t1",)))
    kept = query(stored, "select criteria, purged_rows, purged_by from purges order by purge_id")
    assert [row["criteria"] for row in kept] == [{"by": "customer_id"}, {"by": "ids", "ids": 1}]
    assert {row["purged_by"] for row in kept} == {"rtp_owner"}


@pytest.mark.parametrize("what", [("--id", "t1"), ("--customer", "C1")], ids=["id", "customer"])
def test_a_purge_waits_for_a_record_that_a_replay_has_just_sent(stored: Stack, what: tuple[str, str]) -> None:
    produce(stored, [body("t1", customer_id="C1", amount="7.77")])
    run_rtp("consume", "--no-api", "--until-idle", "1s", env=stored.env)
    purge(dsn(stored), Criteria(ids=("t1",)))
    assert run_rtp("dead-letters", "replay", "--reason", "conflicting_duplicate", env=stored.env).returncode == 0
    in_vain = run_rtp("purge", *what, "--yes", "--timeout", "1", env=stored.env)
    assert in_vain.returncode != 0
    assert "1 record of the topic is not in PostgreSQL" in in_vain.stderr
    waiting = subprocess.Popen(
        [sys.executable, "-m", "rtp_workers.cli.main", "purge", *what, "--yes", "--timeout", "300"], env=stored.env
    )
    run_rtp("consume", "--no-api", "--until-idle", "1s", env=stored.env)
    assert waiting.wait(300) == 0
    found = verify(stored.endpoints, stored.topic, timeout_s=0)
    assert (found.ok, "t1" in ids(stored)) == (True, False)


def test_a_purge_waits_for_a_replay_that_runs(stored: Stack) -> None:
    replaying = connect(stored.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        with dead_letters.replay_locked(replaying):
            with pytest.raises(TransientError, match="a replay of dead letters is still running"):
                purge(dsn(stored), Criteria(customer_id="C1"), timeout_s=0.5)
            assert len(ids(stored)) == 10
            assert purge(dsn(stored), Criteria(before=YEAR_2025), timeout_s=0.5).rows == 5
    finally:
        replaying.close()
    assert purge(dsn(stored), Criteria(customer_id="C1"), timeout_s=60).rows == 5


def test_a_large_purge_goes_in_bounded_steps(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    query(
        stack,
        "insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset) "
        "select 'id-' || i, '2024-01-01T00:00:00Z', 1, 'live', 0, i from generate_series(1, 2000) as i",
    )
    monkeypatch.setattr(purging, "BATCH_BLOCKS", 8)
    totals: list[int] = []
    done = purge(dsn(stack), Criteria(before=YEAR_2025), on_step=lambda report: totals.append(report.rows))
    assert done.rows == totals[-1] == 2000
    steps = query(stack, "select purged_rows from purges")
    assert len(steps) > 2
    assert sum(step["purged_rows"] for step in steps) == 2000


def test_a_purge_of_old_rows_reads_only_the_parts_of_the_table_that_hold_some(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(
        stack,
        "insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset) "
        "select 'id-' || i, case when i in (700, 1500) then timestamptz '2024-01-01Z' else '2026-01-01Z' end, 1, "
        "'live', 0, i from generate_series(1, 2000) as i",
    )
    monkeypatch.setattr(purging, "BATCH_BLOCKS", 1)
    totals: list[int] = []
    done = purge(dsn(stack), Criteria(before=YEAR_2025), on_step=lambda report: totals.append(report.rows))
    assert (done.rows, totals) == (2, [1, 2])
    assert not {"id-700", "id-1500"} & ids(stack)


def test_the_workers_role_may_not_purge(stored: Stack) -> None:
    with pytest.raises(AttentionError, match="permission denied"):
        purge(stored.endpoints.need("postgres_ingest_dsn"), Criteria(ids=("t1",)))
    assert len(ids(stored)) == 10


def test_exactly_one_criterion_is_given() -> None:
    with pytest.raises(ConfigError, match="exactly one"):
        Criteria()
    with pytest.raises(ConfigError, match="exactly one"):
        Criteria(ids=("t1",), customer_id="C1")
    with pytest.raises(ConfigError, match="no offset"):
        Criteria(before=datetime(2025, 1, 1))


def test_the_command_asks_first(stored: Stack) -> None:
    refused = run_rtp("purge", "--customer", "C0", env=stored.env, stdin="n\n")
    assert refused.returncode != 0
    assert "5 rows and 0 dead letters would be deleted" in refused.stderr
    assert len(ids(stored)) == 10
    dry = run_rtp("purge", "--before", "2025-01-01", "--dry-run", env=stored.env)
    assert (dry.returncode, dry.stdout) == (0, "5 rows and 0 dead letters would be deleted\n")
    done = run_rtp("purge", "--before", "2025-01-01", "--yes", "--json", env=stored.env)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"rows": 5, "dead_letters": 0, "dry_run": False})
    nothing_said = run_rtp("purge", "--yes", env=stored.env)
    assert nothing_said.returncode == 2
