"""Times everything that reads the stored rows: commands, pages, each check and each sensor of Dagster, and a purge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg

from bench.growth_fill import DAYS
from bench.processes import ServerPids
from bench.soak import service
from rtp_dagster.definitions import defs
from rtp_dagster.insights.days import differences, drawn_days, make_tables, opened, recompute
from rtp_dagster.platform import Platform
from rtp_dagster.transactions.checks import TABLE
from rtp_dagster.transactions.measures.moment import Moment

PAGES = ("/status", "/transactions?limit=50", "/metrics", "/history", "/health/ready", "/dead-letters")
SETTLE_S = 5.0
LATELY_S = 1800.0
COMPUTED_DAYS = 30


@dataclass
class Seconds:
    """What took how long, by name: seconds by the clock, and CPU seconds of PostgreSQL and of this process.

    On a busy machine, CPU seconds say more. Each line is printed when it is known.
    """

    servers: ServerPids
    found: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Times the block, which may fail: then the reason is printed."""
        before = self._now()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one failure does not end the bench
            what = f"{what} FAILED: {error}"[:300]
        used = {name: round(after - before[name], 3) for name, after in self._now().items()}
        self.found[what] = used
        figures = ", ".join(f"{name} {seconds:7.2f}" for name, seconds in used.items())
        print(f"    {figures} s  {what}", flush=True)

    def _now(self) -> dict[str, float]:
        children = os.times()
        own = children.user + children.system + children.children_user + children.children_system
        return {"clock": time.perf_counter(), "postgres": self.servers.cpu_s()["postgres"], "own": own}


def measure_reads(env: Mapping[str, str], home: Path, servers: ServerPids) -> dict[str, dict[str, float]]:
    """Returns seconds by what was done, while a consumer runs that has nothing to do.

    Args:
        env: the environment for programs of ours.
        home: where logs go.
        servers: whose CPU time is told.
    """
    seconds = Seconds(servers)
    (home / "data").mkdir(exist_ok=True)
    env = {**env, "RTP_DATA_DIR": str(home / "data")}
    with service("consume", ["consume"], dict(env), home) as (_, url):
        time.sleep(SETTLE_S)
        for path in PAGES:
            for which in ("", "again, "):
                with seconds.of(f"{which}GET {path}"):
                    urllib.request.urlopen(url + path, timeout=60).read()
        with patch.dict(os.environ, {**env, "RTP_CONSUMER_URL": url}, clear=True):
            for arguments in (["status", "--json"], ["verify", "--json", "--timeout", "600s"]):
                _command(seconds, arguments)
            _checks(seconds)
            _sensors(seconds)
    return seconds.found


def measure_purge(env: Mapping[str, str], servers: ServerPids) -> dict[str, dict[str, float]]:
    """Purges the oldest day; returns the seconds of the purge, and those of its dry run."""
    seconds = Seconds(servers)
    day = (datetime.now(UTC) - timedelta(days=DAYS - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with patch.dict(os.environ, env, clear=True):
        _command(seconds, ["purge", "--before", day, "--dry-run", "--json"])
        _command(seconds, ["purge", "--before", day, "--yes", "--json"])
        _command(seconds, ["verify", "--json", "--timeout", "600s"])
    return seconds.found


def _command(seconds: Seconds, arguments: list[str]) -> None:
    """Times a command, its start included."""
    with seconds.of(f"rtp {' '.join(arguments)}"):
        command = [sys.executable, "-m", "rtp_workers.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])
        if arguments[0] == "verify":
            print(f"              {json.loads(done.stdout)}")


def _checks(seconds: Seconds) -> None:
    """Times what each check asks of the servers. The start of a run, some seconds, is not part of it."""
    platform = Platform()
    for check in TABLE:
        with seconds.of(f"check {check.name}"), platform.reader() as connection:
            verdict = check.verdict(Moment(platform, connection))
            print(f"              {verdict.sentence[:150]}")
    with opened(platform) as connection:
        make_tables(connection)
        with seconds.of(f"computing {COMPUTED_DAYS} days of daily_activity"):
            last = datetime.now(UTC).date() - timedelta(days=DAYS // 2)
            recompute(connection, "daily_activity", [str(last - timedelta(days=n)) for n in range(COMPUTED_DAYS)])
        with seconds.of("checks sums_agree, no_day_is_missing, all days"):
            differences(connection, LATELY_S)
        for number in range(2):
            with seconds.of("the same for days drawn at random" + ", again" * number):
                differences(connection, LATELY_S, drawn_days(connection))


def _sensors(seconds: Seconds) -> None:
    """Times two ticks of each sensor. Those of Dagster's own automation need its daemon, and are left out."""
    loaded = defs()
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        for sensor in loaded.get_repository_def().sensor_defs:
            if not isinstance(sensor, dg.AutomationConditionSensorDefinition):
                ticks(seconds, sensor, instance, loaded)


def ticks(
    seconds: Seconds,
    sensor: dg.SensorDefinition,
    instance: dg.DagsterInstance,
    loaded: dg.Definitions,
    when: str = "",
) -> None:
    """Times two ticks of a sensor; the second gets the cursor of the first."""
    cursor: str | None = None
    for which in ("first", "second"):
        context = dg.build_sensor_context(
            instance=instance,
            sensor_name=sensor.name,
            cursor=cursor,
            resources={"platform": Platform()},
            definitions=loaded,
        )
        with seconds.of(f"{when}{which} tick of {sensor.name}"):
            data = sensor.evaluate_tick(context)
            cursor = data.cursor
            print(f"              {(data.skip_message or '')[:150]}")
