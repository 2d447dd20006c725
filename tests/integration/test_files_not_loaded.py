"""The count of CSV files that are not loaded, as Prometheus gets it."""

from __future__ import annotations

from rtp_workers.consumer.logins import LoginWatch
from rtp_workers.consumer.state import ConsumerState
from tests.conftest import Stack
from tests.csv_files import write_settled
from tests.dagster_runs import backfill_config, run_job, settings_of, tick
from tests.reading import query


def test_what_is_not_loaded_is_counted_until_it_leaves_the_folder(stack: Stack) -> None:
    data, state = stack.home / "data", ConsumerState()
    (data / "2025.csv").mkdir()
    write_settled(data / "odd.csv", "Date,Description,Amount\n03/02/2026,Shop,-1.10\n04/02/2026,Shop,-2\n")

    def counted() -> int:
        LoginWatch(stack.endpoints, state).look()
        return state.files_not_loaded

    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        assert counted() == 1, "the folder that is named like a file"
        run_job("batch_backfill", backfill_config("odd.csv"))
        assert counted() == 2
        (data / "2025.csv").rmdir()
        (data / "odd.csv").unlink()
        gone = tick("csv_arrival_sensor", first.cursor)
        assert counted() == 2, "somebody may have loaded them from another folder"
        query(stack, "update csv_files set tried_at = tried_at - interval '11 minutes'")
        tick("csv_arrival_sensor", gone.cursor)
        assert counted() == 0
