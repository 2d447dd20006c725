"""The checks on a real Kafka and PostgreSQL: each fails when what it watches breaks, and passes once it is mended."""

from __future__ import annotations

from dagster import AssetCheckSeverity, JsonMetadataValue

from tests.conftest import Stack
from tests.dagster_runs import Evaluations, evaluations, run_job, settings_of
from tests.programs import run_rtp
from tests.reading import query
from tests.records import body, produce


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


def check(stack: Stack, **settings: str) -> Evaluations:
    with settings_of(stack, **settings):
        result = run_job("check_transactions")
    assert result.success
    return evaluations(result)


def failed(found: Evaluations) -> set[str]:
    return {name for name, evaluation in found.items() if not evaluation.passed}


def test_on_a_healthy_platform_every_check_is_evaluated_and_passes_with_its_figures(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(30)])
    consume(stack)
    found = check(stack)
    assert failed(found) == set()
    assert len(found) == 7
    assert found["ledger_balances"].metadata["rows"].value == 30
    assert found["matches_kafka"].metadata["kafka_records"].value == 30
    assert found["lag_is_low"].metadata["lag_records"].value == 0
    assert found["dead_letter_ratio"].metadata["rows"].value == 30


def test_a_deleted_row_an_edited_ledger_and_a_dropped_key_are_each_found(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(30)])
    consume(stack)

    query(stack, "create table kept as select * from transactions where transaction_id = 'T7'")
    query(stack, "delete from transactions where transaction_id = 'T7'")
    found = check(stack)
    assert failed(found) == {"ledger_balances"}
    assert found["ledger_balances"].metadata["rows_missing"].value == 1
    query(stack, "insert into transactions select * from kept")

    query(stack, "update ingest_ledger set next_offset = next_offset + 5, inserted = inserted + 5 where inserted > 0")
    found = check(stack)
    assert failed(found) == {"ledger_balances", "matches_kafka"}
    assert "beyond the log's end" in str(found["matches_kafka"].description)
    query(stack, "update ingest_ledger set next_offset = next_offset - 5, inserted = inserted - 5 where inserted > 5")

    query(stack, "alter table transactions drop constraint transactions_pkey")
    assert failed(check(stack)) == {"ids_are_unique"}
    query(stack, "alter table transactions add constraint transactions_pkey primary key (transaction_id)")

    assert failed(check(stack)) == set()


def test_a_stopped_stream_warns_while_quiet_and_is_an_error_while_records_wait(stack: Stack) -> None:
    produce(stack, [body("T1")])
    consume(stack)
    query(stack, "update ingest_ledger set updated_at = now() - interval '1 hour'")
    found = check(stack)
    assert failed(found) == {"is_fresh"}
    assert found["is_fresh"].severity is AssetCheckSeverity.WARN

    produce(stack, [body(f"T{number}") for number in range(2, 30)])
    found = check(stack, RTP_ALERT_LAG_RECORDS="20")
    assert failed(found) == {"is_fresh", "lag_is_low"}
    assert found["is_fresh"].severity is AssetCheckSeverity.ERROR
    assert found["lag_is_low"].metadata["lag_records"].value == 28

    consume(stack)
    assert failed(check(stack, RTP_ALERT_LAG_RECORDS="20")) == set()


def test_a_flood_of_dead_letters_is_an_error(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(20)] + [b"no json"] * 20)
    consume(stack)
    found = check(stack)
    assert failed(found) == {"dead_letter_ratio"}
    evaluation = found["dead_letter_ratio"]
    assert evaluation.severity is AssetCheckSeverity.ERROR
    assert evaluation.metadata["ratio"].value == 0.5
    reasons = evaluation.metadata["reasons"]
    assert isinstance(reasons, JsonMetadataValue)
    assert isinstance(reasons.data, dict)
    assert sum(reasons.data.values()) == 20


def test_purged_rows_are_no_missing_rows(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(10)])
    consume(stack)
    query(stack, "delete from transactions where transaction_id = 'T7'")
    query(stack, "insert into purges (criteria, purged_rows, purged_dead_letters) values ('{}', 1, 0)")
    assert failed(check(stack)) == set()
