"""Why records wait in Kafka, as seen from outside the consumer: for ``rtp verify``, ``rtp status`` and the backfill.

Kafka is asked by a process of its own. librdkafka may end its process when Kafka does not answer the question about the
group (confluentinc/librdkafka#4605): that must not take the command with it, nor a Dagster run.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rtp_workers import logs
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError, TransientError
from rtp_workers.kafka.causes import CauseFinder
from rtp_workers.postgres.control import Pause

ANSWERS_S = 15.0  # a Kafka that nobody has asked about a group before takes some seconds for its first answer
AGAIN_S = 0.5
ASKING = (sys.executable, "-m", "rtp_workers.reconcile.why_waiting")


@dataclass(frozen=True, slots=True)
class Question:
    """Which records wait where.

    Attributes:
        topic: the topic's name.
        group_id: the consumer's group.
        ledger_id: the id of the database that the consumer stores into; empty if it is not known.
        positions: kafka_partition -> the next offset to store, for partitions whose records wait.
    """

    topic: str
    group_id: str
    ledger_id: str
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why records wait, as far as it could be found out.

    Attributes:
        of_all: what concerns every partition, one sentence each.
        of_partition: one sentence by kafka_partition.
    """

    of_all: list[str] = field(default_factory=list)
    of_partition: dict[int, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Returns everything, one sentence each."""
        return [*self.of_all, *(f"partition {number}: {why}" for number, why in sorted(self.of_partition.items()))]


def why_records_wait(
    endpoints: Endpoints, question: Question, pause: Pause | None = None, timeout_s: float = ANSWERS_S
) -> Reasons:
    """Returns why these records wait. Nothing that fails is raised.

    Args:
        endpoints: where Kafka is.
        question: what waits.
        pause: the platform-wide pause, where it is known.
        timeout_s: what is not known by then is left out.
    """
    of_all: list[str] = []
    of_partition: dict[int, str] = {}
    if pause is not None and pause.paused:
        of_all.append(f"ingestion is paused ({pause.reason or 'no reason given'}); `rtp resume` ends it")
    for answer in _answers(endpoints, question, timeout_s):
        of_all += answer.get("of_all", [])
        of_partition |= {int(number): why for number, why in answer.get("of_partition", {}).items()}
    return Reasons(of_all, of_partition)


def _answers(endpoints: Endpoints, question: Question, timeout_s: float) -> list[dict[str, Any]]:
    """Returns what the other process has found out by the time it ended, or was ended."""
    kafka = {"kafka_bootstrap": endpoints.kafka_bootstrap, "kafka_options": endpoints.kafka_options}
    asked = json.dumps({"endpoints": kafka, "question": asdict(question)})
    try:
        done = subprocess.run(ASKING, input=asked.encode(), capture_output=True, timeout=timeout_s, check=False)
        said: bytes | None = done.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout
    return [json.loads(line) for line in (said or b"").splitlines() if line.endswith(b"}")]


def _main() -> None:
    """Reads a question from stdin and writes each finding to stdout as soon as it is known, one JSON object a line."""
    logging.getLogger(logs.KAFKA_CLIENT).disabled = True
    asked = json.load(sys.stdin)
    question = Question(**asked["question"])
    finder = CauseFinder(Endpoints(**asked["endpoints"]), question.topic, question.group_id, timeout_s=3.0)
    positions = {int(number): position for number, position in question.positions.items()}
    _tell(lambda: {"of_partition": finder.standing(positions)})
    _tell(lambda: {"of_all": finder.others(question.ledger_id).sentences()})


def _tell(find: Callable[[], dict[str, Any]]) -> None:
    """Writes what is found. Asks again after what passes by itself, e.g. a coordinator that is just loading its groups.

    It ends at the latest when whoever asked ends this process.
    """
    while True:
        try:
            print(json.dumps(find()), flush=True)
            return
        except TransientError as error:
            print(error, file=sys.stderr)
            time.sleep(AGAIN_S)
        except RtpError as error:
            print(error, file=sys.stderr)
            return


if __name__ == "__main__":
    _main()
