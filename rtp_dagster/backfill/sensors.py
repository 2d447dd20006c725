"""`csv_arrival_sensor`: a run of `batch_backfill` for each CSV that comes into the data folder."""

import json
import time
from pathlib import Path

import dagster as dg

from rtp_dagster.backfill.arrivals import Stamp, arrivals, content_identity, stamp
from rtp_dagster.backfill.jobs import batch_backfill
from rtp_dagster.platform import Platform
from rtp_dagster.ticks import Tick, read_cursor, skips_while_away
from rtp_workers.batch.folder import list_folder

INTERVAL_S = 20


@dg.sensor(
    job=batch_backfill,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts batch_backfill for new and grown CSV files, once a content; half-written files wait.",
)
@skips_while_away
def csv_arrival_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Asks for one run for each settled file whose content was not asked for yet, and for few at once.

    The run key is the content's identity, so that a renamed file, or a cursor that was reset, starts no second run.
    """
    settings = platform.settings()
    listing = list_folder(settings.data_dir)
    paths = {file.name: file.path for file in listing.files}
    found = {name: stamp(path) for name, path in paths.items()}
    cursor = read_cursor(context.cursor)
    asked = {name: at for name, at in _stamps(cursor.get("asked")).items() if name in found}
    chosen = arrivals(found, _stamps(cursor.get("seen")), asked, time.time_ns(), settings.arrival_runs_per_tick)
    if chosen.ready:
        platform.look()  # with a server away, the runs would only fail: they are asked for when it is back
    requests = [run_request(name, paths[name]) for name in chosen.ready]
    asked |= {name: found[name] for name in chosen.ready}
    unsettled = {name: found[name] for name in chosen.waiting}
    text = json.dumps({"asked": asked, "seen": unsettled})
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=text)
    waits = f"; still being written: {', '.join(chosen.waiting)}" if chosen.waiting else ""
    odd = "".join(f"; not loaded: {entry.name}: {entry.reason}" for entry in listing.refused)
    return dg.SensorResult(skip_reason=f"no new CSV among {len(found)} in {settings.data_dir}{waits}{odd}", cursor=text)


def run_request(name: str, path: Path) -> dg.RunRequest:
    """Returns the run that loads this file, which is known by its name as shown."""
    return dg.RunRequest(
        run_key=content_identity(path),
        run_config={"ops": {"csv_backfill": {"config": {"files": [name]}}}},
        tags={"rtp/file": name},
    )


def _stamps(stored: object) -> dict[str, Stamp]:
    """Returns what a cursor holds, as it was before JSON made lists of tuples."""
    if not isinstance(stored, dict):
        return {}
    return {name: (int(size), int(modified_ns)) for name, (size, modified_ns) in stored.items()}
