"""The whole platform in folders with odd names, and in the environment of somebody who works with other programs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from rtp_workers.endpoints import read_file
from tests.conftest import StartRtp
from tests.e2e.test_platform import SHOWN, env_for
from tests.programs import run_rtp, status_with
from tests.reading import execute
from tests.waiting import wait_until

ODD = 'Téléchargements, a:b %41 it\'s "x" $HOME 東京 🦊'
BOOT_S = 240.0  # Dagster included, on a busy machine
SETTLED_S = 120.0
# What people have in their shells: each of these has changed a library under some program.
SURROUNDINGS = {
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "none",
    "PGSERVICE": "nowhere",
    "PGOPTIONS": "-c search_path=app",
    "PGCLIENTENCODING": "LATIN1",
    "PGSSLMODE": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "KAFKA_OPTS": "-Dnone",
    "KAFKA_HEAP_OPTS": "-Xmx1m",
    "JAVA_TOOL_OPTIONS": "-Xmx1m",
    "_JAVA_OPTIONS": "-Xmx1m",
    "JDK_JAVA_OPTIONS": "-Xmx1m",
    "CLASSPATH": "/nowhere",
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONIOENCODING": "ascii",
    "TZ": "Asia/Kathmandu",
    "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "all_proxy": "http://127.0.0.1:9",
}
CSV = "transaction_id,occurred_at,amount,merchant\nE1,2026-09-01T00:00:00Z,1.00,Bäckerei Müller\n"


@pytest.mark.timeout(900)
def test_the_platform_starts_loads_and_agrees_there(home: Path, start_rtp: StartRtp) -> None:
    place = home / ODD
    env = {**env_for(place), **SURROUNDINGS, "RTP_DATA_DIR": str(place / "data"), "RTP_PRODUCER_AUTOSTART": "false"}
    (place / "data").mkdir()
    platform = start_rtp("up", env=env, log=home / "up.log")
    wait_until(lambda: SHOWN in platform.output() or not platform.running(), BOOT_S, "the start of the platform")
    assert platform.running(), platform.output()
    assert [path.name for path in home.iterdir() if path.name not in (ODD, "up.log")] == []

    (place / "data" / "Übersicht, 1.csv").write_text(CSV)
    loaded = run_rtp("load", "data/Übersicht, 1.csv", env=env)
    assert loaded.returncode == 0, loaded.stderr
    verified = run_rtp("verify", "--timeout", f"{SETTLED_S:.0f}s", "--json", env=env, timeout_s=2 * SETTLED_S)
    assert json.loads(verified.stdout)["ok"], verified.stdout + verified.stderr
    stored = execute(read_file(place).need("postgres_read_dsn"), "select merchant, occurred_at::text from transactions")
    assert stored == [("Bäckerei Müller", "2026-09-01 00:00:00+00")]
    parts = ("kafka", "postgres", "producer", "consumer", "dagster")
    status_with(lambda found: all(found[part]["up"] for part in parts), env)
    doctor = run_rtp("doctor", env={**env, "COLUMNS": "300"})
    assert "ignored: PG" in doctor.stdout

    platform.signal(signal.SIGTERM)
    assert platform.wait(90) == 0
