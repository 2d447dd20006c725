"""What Dagster loads: keys, names and wiring that users and dashboards rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from rtp_dagster.definitions import defs
from rtp_dagster.transactions.assets import column_schema, transactions
from rtp_workers.record.transaction import COPY_COLUMNS
from tests.foreign_topics import simple_section
from tests.programs import clean_env

ROOT = Path(__file__).parents[2]
JOBS = {"setup_topics", "batch_backfill", "check_transactions", "replay_dead_letters", "trim_history", "check_insights"}
CHECKS = {"ledger_balances", "matches_kafka", "ids_are_unique", "is_fresh", "dead_letter_ratio", "lag_is_low"}


def test_the_asset_keys_are_these() -> None:
    graph = defs().resolve_asset_graph()
    names = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert names == {
        "transactions_topic",
        "csv_files",
        "csv_backfill",
        "live_transactions",
        "transactions",
        "touched_days",
        "daily_activity",
        "customer_activity",
    }


def test_the_graph_reads_like_the_data_flow() -> None:
    graph = defs().resolve_asset_graph()

    def parents(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}

    assert parents("transactions_topic") == set()
    assert parents("csv_files") == set()
    assert parents("csv_backfill") == {"transactions_topic", "csv_files"}
    assert parents("live_transactions") == {"transactions_topic"}
    assert parents("transactions") == {"csv_backfill", "live_transactions"}


def test_each_mapped_topic_is_upstream_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = simple_section("payments") + simple_section("cards.*", "cards") + '[open]\ntopics = ["open"]\n'
    (tmp_path / "sources.toml").write_text(section)
    monkeypatch.setenv("RTP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RTP_TOPICS", "payments,cards.eu,open,unmapped")
    graph = defs().resolve_asset_graph()
    parents = {tuple(key.path) for key in graph.get(dg.AssetKey("transactions")).parent_keys}
    topics = {("topics", "payments"), ("topics", "cards.eu")}
    assert parents == {("csv_backfill",), ("live_transactions",), *topics}
    assert {tuple(key.path) for key in graph.get_all_asset_keys() if len(key.path) == 2} == topics


def test_a_setting_that_does_not_fit_leaves_the_mapped_topics_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTP_TOPICS", "payments")
    monkeypatch.setenv("RTP_KAFKA_PORT", "no port")
    keys = defs().resolve_asset_graph().get_all_asset_keys()
    assert all(len(key.path) == 1 for key in keys)


def test_jobs_sensors_and_checks_have_these_names() -> None:
    repository = defs().get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == JOBS
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {
        "csv_arrival_sensor",
        "row_count_sensor",
        "consumer_lag_sensor",
        "dead_letter_sensor",
        "mapped_topics_sensor",
        "alert_sensor",
        "insights_sensor",
        "insights_automation",
    }
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())
    checks = defs().resolve_asset_graph().asset_check_keys
    names = {(key.asset_key.to_user_string(), key.name) for key in checks}
    insight_checks = {("daily_activity", "sums_agree"), ("daily_activity", "no_day_is_missing")}
    assert names == {("csv_files", "files_are_loaded"), *(("transactions", name) for name in CHECKS), *insight_checks}


def test_in_the_backfill_every_check_runs_after_the_load() -> None:
    job = defs().resolve_job_def("batch_backfill")
    depends = {
        node.name: {
            output.node for inputs in job.dependencies[node].values() for output in inputs.get_node_dependencies()
        }
        for node in job.dependencies
    }
    for name in CHECKS:
        assert "csv_backfill" in depends[f"transactions_{name}"]
    assert depends["csv_backfill"] == {"transactions_topic"}


def test_the_transactions_asset_shows_every_column_of_the_table() -> None:
    columns = [column.name for column in column_schema().columns]
    assert columns == [*COPY_COLUMNS, "ingested_at"]
    assert transactions.freshness_policy is not None


def test_importing_the_definitions_reads_no_setting_and_loads_no_plotting() -> None:
    code = "import sys, rtp_dagster.definitions; sys.exit('matplotlib' in sys.modules)"
    env = clean_env(RTP_KAFKA_PORT="no port", RTP_NO_SUCH_SETTING="1")
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, check=True, timeout=300)


@pytest.mark.parametrize(
    "resources",
    [
        {"platform": {"config": {"data_dir": "/etc"}}},
        {"platform": {"config": {"home": "/etc"}}},
        {"platform": {"config": {"topic": "other"}}},
        {"io_manager": {"config": {"base_dir": "/tmp"}}},
    ],
)
@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_runs_config_cannot_say_where_things_are(job: str, resources: dict[str, Any]) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entry"):
        dg.validate_run_config(defs().resolve_job_def(job), {"resources": resources})


def test_the_workspace_file_names_the_code_location() -> None:
    entries = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entries == [{"python_module": {"module_name": "rtp_dagster.definitions", "location_name": "rtp_dagster"}}]
