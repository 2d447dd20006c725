"""``python -m bench.generator``: the generator alone, and produced + acknowledged next to a raw producer."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import raw
from bench.__main__ import bench_servers
from bench.processes import find_servers, run_program
from bench.records import Records
from rtp_workers.endpoints import Endpoints
from rtp_workers.generator.stream import Generator, World
from rtp_workers.kafka.topics import delete_topic, ensure_topic

BATCH = 4_000
GENERATED_PER_S = 100_000
RATIO = 0.35


@dataclass
class Rounds:
    """Records per second, one entry a round."""

    generated_per_s: list[float] = field(default_factory=list)
    raw_per_s: list[float] = field(default_factory=list)
    produced_per_s: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Returns the median of the rounds' ratios of produced to raw."""
        return statistics.median(made / bare for made, bare in zip(self.produced_per_s, self.raw_per_s, strict=True))


def generate(count: int) -> tuple[float, Records]:
    """Generates that many records in one thread; returns the seconds (JSON included, the population not) and them."""
    generator = Generator(World())
    records = Records([], [])
    started = time.perf_counter()
    for _ in range(count // BATCH):
        batch = generator.take(BATCH, time.time_ns() // 1_000)
        records.keys.extend(batch.keys)
        records.values.extend(batch.values)
    return time.perf_counter() - started, records


def one_round(endpoints: Endpoints, home: Path, count: int, rounds: Rounds) -> None:
    """Measures all three once."""
    seconds, records = generate(count)
    rounds.generated_per_s.append(len(records.values) / seconds)
    topic = "bench-generator"
    ensure_topic(endpoints, topic)
    rounds.raw_per_s.append(len(records.values) / raw.produce(endpoints, topic, records))
    del records
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
    here = {"RTP_HOME": str(home), "RTP_TOPIC": topic, "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap")}
    run = run_program(
        ["produce", "--count", str(count), "--json"], {**clean, **here}, find_servers(), home / "produce.log"
    )
    if run.returncode:
        raise RuntimeError(run.output[-2_000:])
    outcome = json.loads(run.output[run.output.index('{"finished"') :].splitlines()[0])
    rounds.produced_per_s.append(outcome["acknowledged"] / outcome["seconds"])
    delete_topic(endpoints, topic)
    print(
        f"generated {rounds.generated_per_s[-1]:,.0f}/s, raw produce {rounds.raw_per_s[-1]:,.0f}/s, generated + "
        f"acknowledged {rounds.produced_per_s[-1]:,.0f}/s, peak {run.peak_mb:.0f} MB, CPU {run.cpu_s:.1f} s",
        flush=True,
    )


def main() -> int:
    """Prints a line a round and the medians; exit 1 where one is below what it must reach."""
    parser = argparse.ArgumentParser(prog="python -m bench.generator", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = Rounds()
    with bench_servers() as (endpoints, home):
        for _ in range(given.rounds):
            one_round(endpoints, home, given.records, rounds)
    generated_per_s, ratio = statistics.median(rounds.generated_per_s), rounds.ratio()
    print(f"medians: generated {generated_per_s:,.0f}/s (least {GENERATED_PER_S:,}), ratio {ratio:.2f} (least {RATIO})")
    return 0 if generated_per_s >= GENERATED_PER_S and ratio >= RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
