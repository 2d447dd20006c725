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
from bench.soak import service
from rtp_dagster.definitions import defs
from rtp_dagster.insights.days import Seen, differences, make_tables, opened, touched
from rtp_dagster.platform import Platform
from rtp_dagster.transactions.checks import TABLE
from rtp_dagster.transactions.measures.moment import Moment

PAGES = ("/status", "/transactions?limit=50", "/metrics", "/history", "/health/ready", "/dead-letters")
SETTLE_S = 5.0
LATELY_S = 1800.0


@dataclass
class Seconds:
    """What took how long, by name; each is printed when it is known."""

    found: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Times the block, which may fail: then the reason is printed."""
        started = time.perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one failure does not end the bench
            what = f"{what} FAILED: {error}"[:300]
        self.found[what] = round(time.perf_counter() - started, 3)
        print(f"    {self.found[what]:8.2f} s  {what}", flush=True)


def measure_reads(env: Mapping[str, str], home: Path) -> dict[str, float]:
    """Returns seconds by what was done, while a consumer runs that has nothing to do.

    Args:
        env: the environment for programs of ours.
        home: where logs go.
    """
    seconds = Seconds()
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


def measure_purge(env: Mapping[str, str], home: Path) -> dict[str, float]:
    """Purges the oldest day; returns the seconds of the purge, and those of its dry run."""
    seconds = Seconds()
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
        with seconds.of("check sums_agree, no_day_is_missing"):
            differences(connection, LATELY_S)
        with seconds.of("touched days, first look"):
            _, seen = touched(connection, Seen())
        with seconds.of("touched days, later look"):
            touched(connection, seen)


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
