"""The jobs on a real Kafka and PostgreSQL, run inside the test's process."""

from __future__ import annotations

import base64
import tomllib
from typing import Any

import dagster as dg
import pytest

from rtp_dagster.backfill import assets
from rtp_workers.batch.attempts import attempt_load
from rtp_workers.batch.load_file import LoadReport
from rtp_workers.kafka.topics import delete_topic, describe, ensure_topic
from rtp_workers.postgres import csv_loads
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_loads import LoadRunningError
from tests.conftest import Stack, StartRtp
from tests.csv_files import canonical_text, write_settled
from tests.dagster_runs import backfill_config, evaluations, failure_text, run_job, settings_of
from tests.programs import run_rtp
from tests.reading import dead_letters, rows_by_id
from tests.records import body, produce


def backfill_metadata(result: Any) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("csv_backfill")
    return {
        name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
        for name, value in event.metadata.items()
    }


def topic_config(*, alter: bool) -> dict[str, Any]:
    return {"ops": {"transactions_topic": {"config": {"alter": alter}}}}


def test_a_backfill_loads_every_file_waits_for_the_rows_and_checks_them(stack: Stack, start_rtp: StartRtp) -> None:
    data = stack.home / "data"
    write_settled(data / "a.csv", canonical_text(range(300)))
    write_settled(data / "b.csv", canonical_text(range(300, 500)).replace("T00000400,2026", "T00000400,no date"))
    start_rtp("consume", "--no-api", env=stack.env)
    with settings_of(stack):
        result = run_job("batch_backfill", backfill_config())
    assert result.success, failure_text(result)
    assert len(rows_by_id(stack)) == 499
    found = evaluations(result)
    assert all(evaluation.passed for evaluation in found.values())
    assert found["ledger_balances"].metadata["rows"].value == 499
    metadata = backfill_metadata(result)
    assert (metadata["files"], metadata["rows_read"], metadata["rows_acknowledged"]) == (2, 500, 499)
    assert [record.data["file"] for record in metadata["per_file"]] == ["a.csv", "b.csv"]
    (refused,) = metadata["refused_rows"]
    assert (refused.data["file"], refused.data["line"]) == ("b.csv", 102)
    assert "T00000400" in refused.data["row"]
    image = metadata["load_rate"].split("base64,")[1].removesuffix(")")
    assert base64.b64decode(image).startswith(b"\x89PNG")


def test_a_foreign_file_is_read_by_the_mapping_file_and_its_mapping_is_shown(stack: Stack, start_rtp: StartRtp) -> None:
    data = stack.home / "data"
    write_settled(
        data / "bank-01.csv", "Buchungstag;Empfänger;Betrag\n03.04.2026;Bäcker;-3,50\n13.04.2026;Lohn;1.000,00\n"
    )
    (data / "sources.toml").write_text('[bank]\nfiles = ["bank-*.csv"]\nconstants.currency = "CHF"\n')
    start_rtp("consume", "--no-api", env=stack.env)
    with settings_of(stack):
        result = run_job("batch_backfill", backfill_config())
    assert result.success, failure_text(result)
    amounts = {row["merchant"]: (str(row["amount"]), row["currency"]) for row in rows_by_id(stack).values()}
    assert amounts == {"Bäcker": ("-3.50", "CHF"), "Lohn": ("1000.00", "CHF")}
    shown = tomllib.loads(backfill_metadata(result)["mapping"].removeprefix("```toml\n").removesuffix("```"))
    assert shown["bank"]["columns"]["occurred_at"] == "Buchungstag"
    assert shown["bank"]["constants"] == {"currency": "CHF"}


def test_chosen_files_only_and_a_second_run_loads_nothing_again(stack: Stack, start_rtp: StartRtp) -> None:
    data = stack.home / "data"
    write_settled(data / "a.csv", canonical_text(range(100)))
    write_settled(data / "b.csv", canonical_text(range(100, 150)))
    start_rtp("consume", "--no-api", env=stack.env)
    with settings_of(stack):
        chosen = run_job("batch_backfill", backfill_config("b.csv"))
        again = run_job("batch_backfill", backfill_config("b.csv"))
    assert chosen.success, failure_text(chosen)
    assert again.success, failure_text(again)
    assert len(rows_by_id(stack)) == 50
    assert backfill_metadata(again)["rows_settled_before"] == 50
    assert describe(stack.endpoints, stack.topic) is not None


def test_a_file_outside_the_data_folder_cannot_be_chosen(stack: Stack) -> None:
    write_settled(stack.home / "outside.csv", canonical_text(range(3)))
    with settings_of(stack):
        result = run_job("batch_backfill", backfill_config("../outside.csv"))
    assert not result.success
    assert "no CSV named ../outside.csv" in failure_text(result)


def test_without_a_consumer_the_backfill_fails_after_its_time_limit_and_says_how_far_it_is(stack: Stack) -> None:
    write_settled(stack.home / "data" / "a.csv", canonical_text(range(40)))
    with settings_of(stack):
        result = run_job("batch_backfill", backfill_config(ledger_timeout_s=1.0))
    assert not result.success
    text = failure_text(result)
    assert "not in PostgreSQL after 1 s: 40 records wait" in text
    assert "no consumer is running" in text.replace("\n", " ")
    assert not evaluations(result)


def test_a_file_that_is_refused_whole_does_not_hold_up_the_others(stack: Stack) -> None:
    data = stack.home / "data"
    write_settled(data / "a.csv", "")
    write_settled(data / "b.csv", canonical_text(range(40)))
    with settings_of(stack):
        result = run_job("batch_backfill", backfill_config())
    assert not result.success
    assert "not loaded: a.csv" in failure_text(result)
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        assert [(load.file_name, load.state) for load in csv_loads.recent(connection)] == [("b.csv", "loaded")]
    finally:
        connection.close()


def test_the_topic_is_made_once_and_drift_fails_until_told_to_alter(stack: Stack) -> None:
    delete_topic(stack.endpoints, stack.topic)
    with settings_of(stack):
        made = run_job("setup_topics")
        verified = run_job("setup_topics")
        ensure_topic(stack.endpoints, stack.topic, configs={"retention.ms": "3600000"}, alter=True)
        drifted = run_job("setup_topics")
        altered = run_job("setup_topics", topic_config(alter=True))
    created = [
        result.asset_materializations_for_node("transactions_topic")[0].metadata["created"].value
        for result in (made, verified, altered)
    ]
    assert created == [True, False, False]
    assert not drifted.success
    assert "retention.ms is 3600000" in failure_text(drifted)
    assert "alter: true" in failure_text(drifted)


def test_dead_letters_are_sent_again_once(stack: Stack) -> None:
    produce(stack, [body("T1"), b"no json", b"neither"])
    assert run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env).returncode == 0
    with settings_of(stack):
        first, second = run_job("replay_dead_letters"), run_job("replay_dead_letters")
    assert first.success, failure_text(first)
    assert second.success
    replayed = [
        [event.step_output_data.metadata["replayed"].value for event in result.all_events if event.is_successful_output]
        for result in (first, second)
    ]
    assert replayed == [[2], [0]]
    assert all(letter["replayed_at"] is not None for letter in dead_letters(stack))


def test_the_chart_of_rows_over_time_is_drawn_from_what_the_sensor_recorded(stack: Stack) -> None:
    produce(stack, [body("T1")])
    assert run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env).returncode == 0
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):
        for rows in (1, 5, 9):
            event = dg.AssetMaterialization("transactions", metadata={"dagster/row_count": rows})
            instance.report_runless_asset_event(event)
            instance.report_runless_asset_event(dg.AssetObservation("transactions", metadata={"lag_records": rows}))
        found = evaluations(run_job("check_transactions", instance=instance))
    assert "image/png" in str(found["is_fresh"].metadata["rows_over_time"].value)
    assert "image/png" in str(found["lag_is_low"].metadata["lag_over_time"].value)


def test_a_file_that_another_loader_holds_is_waited_for(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other loader's lock is held until the first attempt has failed."""
    monkeypatch.setattr(assets, "LOCKED_WAIT_S", 0.1)
    write_settled(stack.home / "data" / "a.csv", canonical_text(range(40)))
    with settings_of(stack):
        run_job("batch_backfill", backfill_config(ledger_timeout_s=0.1))
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    (load,) = csv_loads.recent(connection)
    head = load.identity.rsplit("-", 1)[0]
    attempts: list[str] = []

    def noted(*arguments: Any) -> LoadReport:
        try:
            return attempt_load(*arguments)
        except LoadRunningError as error:
            attempts.append(str(error))
            connection.close()
            raise

    monkeypatch.setattr(assets, "attempt_load", noted)
    with csv_loads.locked(connection, head), settings_of(stack):
        result = run_job("batch_backfill", backfill_config(ledger_timeout_s=0.1))
    assert len(attempts) == 1
    retried = [event.step_key for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert retried == ["csv_backfill.load_files"]
    loaded = [event for event in result.all_events if event.is_step_success]
    assert "csv_backfill.load_files" in {event.step_key for event in loaded}
