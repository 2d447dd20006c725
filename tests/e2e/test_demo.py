"""``rtp demo`` from nothing to its end, and a platform started in a shell that knows another one's addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rtp_workers.endpoints import Endpoints, read_file
from rtp_workers.local.own_exports import NOTE
from tests.csv_files import canonical_text, write_settled
from tests.programs import clean_env, run_rtp

DEMO = ("demo", "--live-for", "2s", "--rate", "100")
DEMO_S = 280.0


def equation(said: str) -> dict[str, int]:
    """Reads the table Kafka records = rows + duplicates + dead letters + skipped."""
    found = re.findall(r"^\W*(Kafka records|rows|duplicates|dead letters|skipped)\s+([\d,]+)\s", said, re.MULTILINE)
    return {name: int(count.replace(",", "")) for name, count in found}


def test_the_demo_backfills_streams_and_reconciles_and_knows_its_files_again(home: Path) -> None:
    data = home / "data"
    data.mkdir()
    write_settled(data / "a.csv", canonical_text(range(300)))
    env = clean_env(RTP_HOME=str(home), RTP_DATA_DIR=str(data))
    first = run_rtp(*DEMO, env=env, timeout_s=DEMO_S)
    assert first.returncode == 0, first.stdout + first.stderr
    counted = equation(first.stdout)
    assert counted["Kafka records"] == 500
    assert sum(counted.values()) == 1000
    assert "300 rows into PostgreSQL" in first.stdout
    assert "Finished execution of run" in (home / "logs" / "dagster-batch_backfill.log").read_text()
    assert max(map(len, first.stdout.splitlines())) <= max(80, len(str(home)) + 60)
    assert read_file(home) == Endpoints()

    # The platform has stopped, and this shell still has what `rtp env` said while it ran.
    exported = json.loads((home / NOTE).read_text())
    assert {"RTP_KAFKA_BOOTSTRAP", "RTP_POSTGRES_DSN"} <= set(exported)
    again = run_rtp(*DEMO, env={**env, **exported}, timeout_s=DEMO_S)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "every file was loaded before" in again.stdout
    assert equation(again.stdout)["Kafka records"] == 700
