"""``python -m bench.mapped``: CSV -> Kafka of foreign files next to the same rows in the canonical form, in one run.

One foreign file has an id of its own, the other has none, so that ids are derived and identical rows are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from bench.__main__ import bench_servers
from bench.processes import find_servers, run_program
from bench.records import Records, records, write_csv
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.postgres.connection import connect
from rtp_workers.record.transaction import Transaction

CANONICAL, WITH_ID, WITHOUT_ID = "canonical", "foreign, with ids", "foreign, ids derived"
AT_LEAST = 0.5
TOPIC = "bench-mapped"


def bank_rows(made: Records) -> Iterator[list[str]]:
    """Yields the records as a bank's export has them: day first, a comma before the cents, negative debits."""
    decode = msgspec.json.Decoder(Transaction).decode
    for value in made.values:
        record = decode(value)
        when = datetime.fromisoformat(record.occurred_at)
        amount = record.amount.replace(".", ",")
        booked = f"{when:%d.%m.%Y %H:%M:%S}"
        yield [
            record.transaction_id,
            booked,
            amount,
            record.currency or "",
            record.merchant or "",
            record.country or "",
        ]


def write_bank_csv(path: Path, made: Records, *, with_id: bool) -> None:
    """Writes the export, with semicolons, every text quoted."""
    header = ["Transaktions-ID", "Buchungstag", "Betrag", "Währung", "Empfänger", "Land"]
    first = 0 if with_id else 1
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(";".join(f'"{name}"' for name in header[first:]) + "\n")
        for row in bank_rows(made):
            cells = [cell.replace('"', '""') for cell in row[first:]]
            file.write(";".join(f'"{cell}"' for cell in cells) + "\n")
    at_s = time.time() - 60
    os.utime(path, (at_s, at_s))


def load(endpoints: Endpoints, home: Path, path: Path, rows: int) -> tuple[float, float, float]:
    """Loads a file into an empty topic; returns rows a second, CPU seconds and peak MB."""
    owner = connect(endpoints.need("postgres_dsn"), "rtp-bench", autocommit=True)
    with owner.cursor() as cursor:
        cursor.execute("truncate csv_loads")
    owner.close()
    delete_topic(endpoints, TOPIC)
    ensure_topic(endpoints, TOPIC)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
    env = {
        **clean,
        "RTP_HOME": str(home),
        "RTP_TOPIC": TOPIC,
        "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap"),
        "RTP_POSTGRES_INGEST_DSN": endpoints.need("postgres_ingest_dsn"),
    }
    run = run_program(["load", str(path), "--json"], env, find_servers(), home / "load.log")
    if run.returncode:
        raise RuntimeError(run.output[-3_000:])
    answer = json.loads(run.output[run.output.index('{"files"') :])["files"][0]
    if (answer["acknowledged"], answer["refused"]) != (rows, 0):
        raise RuntimeError(f"not every row was loaded: {answer}")
    return rows / answer["seconds"], run.cpu_s, run.peak_mb


def main() -> int:
    """Prints a line a load and the medians; exit 1 where a foreign file is too slow."""
    parser = argparse.ArgumentParser(prog="python -m bench.mapped", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ratios: dict[str, list[float]] = {WITH_ID: [], WITHOUT_ID: []}
    with bench_servers() as (endpoints, home):
        made = records(given.records)
        paths = {name: home / f"{number}.csv" for number, name in enumerate((CANONICAL, WITH_ID, WITHOUT_ID))}
        write_csv(paths[CANONICAL], made)
        write_bank_csv(paths[WITH_ID], made, with_id=True)
        write_bank_csv(paths[WITHOUT_ID], made, with_id=False)
        del made
        for _ in range(given.rounds):
            canonical_per_s = 0.0
            for name, path in paths.items():
                per_s, cpu_s, peak_mb = load(endpoints, home, path, given.records)
                if name == CANONICAL:
                    canonical_per_s = per_s
                else:
                    ratios[name].append(per_s / canonical_per_s)
                beside = per_s / canonical_per_s
                print(f"{name:22} {per_s:9,.0f}/s  {beside:.2f}  CPU {cpu_s:.1f} s  peak {peak_mb:.0f} MB", flush=True)
    medians = {name: statistics.median(found) for name, found in ratios.items()}
    print("medians: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in medians.items()) + f" (least {AT_LEAST})")
    return 0 if min(medians.values()) >= AT_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
