"""The state of the platform at a glance. Every part is asked at the same time, and none that is away holds it up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.kafka import topics
from rtp_workers.postgres import losses
from rtp_workers.postgres.account import Account, read_account
from rtp_workers.postgres.bounded import BusyError, Reading
from rtp_workers.postgres.connection import Connection, server_version
from rtp_workers.postgres.control import Pause, read_pause
from rtp_workers.postgres.ledger import identity
from rtp_workers.postgres.losses import Loss
from rtp_workers.postgres.recent import rows_per_s
from rtp_workers.reconcile.balance import Log, lag
from rtp_workers.reconcile.topic_logs import TopicLogs, with_lag
from rtp_workers.reconcile.verify import reader_dsn
from rtp_workers.reconcile.why_waiting import Question, why_records_wait
from rtp_workers.web.asking import Answer, ask

PROBE_S = 4.0  # a busy machine sometimes takes over 2 s
READ_S = 3.0
REASON_CHARACTERS = 500
WHY_S = 6.0
ANSWERS_S = 6.0  # connecting, reading, and asking who is in the way
# What answers as soon as the process is there; Dagster's webserver has no /health/live.
HTTP_PARTS = {"producer": "/health/live", "consumer": "/health/live", "dagster": "/server_info"}

# What PostgreSQL tells; each is None in the report while it is away.
STORED = ("rows", "rows_per_s", "dead_letters", "last_write_at", "paused", "paused_reason", "losses")
NO_TOPICS: dict[str, Any] = {"topics": None, "topics_not_consumed": None}

Probe = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL can tell without scanning a table.

    Attributes:
        losses: records that are stored and that Kafka has lost, as long as nobody has confirmed them.
        version: of the server, e.g. ``17.6``.
    """

    account: Account
    rows_per_s: float
    pause: Pause
    losses: list[Loss]
    ledger_id: str
    version: str

    @classmethod
    def read(cls, reader: Connection) -> Stored:
        """Reads it. `reader` is in autocommit mode."""
        lost = losses.listed(reader, unconfirmed_only=True)
        ids = identity(reader), server_version(reader)
        return cls(read_account(reader), rows_per_s(reader), read_pause(reader), lost, *ids)

    def figures(self) -> dict[str, Any]:
        """Returns the figures of the report; their names are `STORED`."""
        written = self.account.updated_at
        return {
            "rows": self.account.stored_rows,
            "rows_per_s": self.rows_per_s,
            "dead_letters": self.account.stored_dead_letters,
            "last_write_at": None if written is None else written.isoformat(),
            "paused": self.pause.paused,
            "paused_reason": self.pause.reason,
            "losses": [_loss(loss) for loss in self.losses],
        }


def status(
    endpoints: Endpoints,
    topic: str,
    token: SecretStr | None = None,
    group_id: str | None = None,
    mapped: Callable[[], TopicLogs] = TopicLogs,
) -> dict[str, Any]:
    """Asks every part, all at once; waits for `ANSWERS_S` seconds at most.

    Where records wait and no consumer answers, it takes some seconds more to find out why they wait.

    Args:
        endpoints: what is known of the platform; a part that is not known is down.
        topic: whose lag to tell.
        token: what the consumer's /status may ask for.
        group_id: of the consumer; None takes that of the ledger.
        mapped: reads the logs of the topics that are not our own.

    Returns:
        ``{"kafka", "postgres", "producer", "consumer", "dagster": {"up": bool, "busy": bool, "detail": str | None},
        "lag", ...}``. A part that is busy is up, but could not tell in time; ``detail`` says who holds the lock.
        ``postgres`` has a ``version`` too.
        ``lag`` is how many records are not in the ledger yet; also ``lag_by_partition`` and `STORED`.
        ``why_waiting`` has one sentence for each reason why records wait while no consumer answers.
        ``topics`` and ``topics_not_consumed`` are about topics that are not our own. Lag and counts come from Kafka and
        the ledger, the rest is what the consumer says. A figure is None while the part that knows it is away.
    """
    urls = {part: getattr(endpoints, f"{part}_url") for part in HTTP_PARTS}
    probes: dict[str, Probe] = {
        "kafka": lambda: _kafka(endpoints, topic),
        "postgres": lambda: _postgres(endpoints),
        **{part: _http_probe(part, url) for part, url in urls.items()},
    }
    further: dict[str, Probe] = {"topics": lambda: _topics(endpoints.consumer_url, token), "topic_logs": mapped}
    answers = ask_all({**probes, **further}, ANSWERS_S)
    report: dict[str, Any] = {part: _part(answers[part]) for part in probes}
    if isinstance(answers["topics"], ConfigError):
        report["consumer"]["detail"] = str(answers["topics"])
    report |= _mapped_topics(answers)
    by_partition = _lag(answers["kafka"], answers["postgres"])
    report["lag"] = None if by_partition is None else sum(by_partition.values())
    report["lag_by_partition"] = by_partition
    known = answers["postgres"]
    asks = bool(report["lag"]) and not report["consumer"]["up"]
    report["why_waiting"] = _why_waiting(endpoints, topic, group_id, known, answers["kafka"]) if asks else []
    report["postgres"]["version"] = None if isinstance(known, RtpError) else known.version
    return {**report, **(dict.fromkeys(STORED) if isinstance(known, RtpError) else known.figures())}


def _mapped_topics(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of topics that are not our own; each figure is None while nobody can tell."""
    said, logs, stored = answers["topics"], answers["topic_logs"], answers["postgres"]
    silent = isinstance(said, RtpError)
    if isinstance(logs, RtpError) or isinstance(stored, RtpError) or logs == TopicLogs():
        return NO_TOPICS if silent else said
    return {
        "topics": with_lag([] if silent else said["topics"], logs, stored.account),
        "topics_not_consumed": logs.unmapped if silent else said["topics_not_consumed"],
    }


def _why_waiting(endpoints: Endpoints, topic: str, group_id: str | None, stored: Stored, kafka: Any) -> list[str]:
    described, log = kafka
    now = stored.account.of_topic(described.topic_id)
    left = [number for number, records in lag(stored.account, described.topic_id, log).items() if records]
    positions = {number: now[number].next_offset if number in now else log[number][0] for number in left}
    group = group_id or next((row.group_id for row in now.values()), "")
    question = Question(topic, group, stored.ledger_id, positions)
    return why_records_wait(endpoints, question, stored.pause, WHY_S).sentences()


def ask_all(probes: Mapping[str, Probe], timeout_s: float) -> dict[str, Any]:
    """Runs the probes at once. Returns each one's answer, or the RtpError that stands for it.

    A probe that has not answered in `timeout_s` is left behind; its thread does not keep the process alive.
    """
    answers: dict[str, Any] = {}

    def run(name: str, probe: Probe) -> None:
        try:
            answer = probe()
        except RtpError as error:
            answer = error
        answers[name] = answer

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {name: answers.get(name, RtpError(f"no answer from {name} in {timeout_s:g} s")) for name in probes}


def _kafka(endpoints: Endpoints, topic: str) -> tuple[topics.TopicDescription | None, Log]:
    found = topics.describe(endpoints, topic, timeout_s=PROBE_S)
    return found, {} if found is None else topics.log_offsets(endpoints, topic, timeout_s=PROBE_S)


def _postgres(endpoints: Endpoints) -> Stored:
    dsn = reader_dsn(endpoints)
    watching = endpoints.postgres_dsn or dsn
    return Reading(dsn, watching, "rtp-status", "read the totals", Stored.read).within(READ_S)


def _http_probe(part: str, url: str | None) -> Probe:
    def probe() -> str | None:
        if url is None:
            raise RtpError(f"not known; set RTP_{part.upper()}_URL or start it with `rtp up`")
        live = _get(url, HTTP_PARTS[part])
        if live >= 400:
            raise RtpError(f"answers {live} at {HTTP_PARTS[part]}")
        return _readiness(url) if HTTP_PARTS[part] == "/health/live" else None

    return probe


def _readiness(url: str) -> str | None:
    """Returns why a service of ours is not ready, in its own words; None if it is ready."""
    answer = _answer(url, "/health/ready")
    if answer.status < 400:
        return None
    try:
        return f"not ready: {str(json.loads(answer.body)['detail'])[:REASON_CHARACTERS]}"
    except (ValueError, KeyError, TypeError):
        return "not ready: see /health/ready"


def _topics(consumer_url: str | None, token: SecretStr | None) -> dict[str, Any]:
    """Returns what the consumer says of topics that are not our own."""
    if consumer_url is None:
        raise RtpError("the consumer's address is not known")
    answer = _answer(consumer_url, "/status", token)
    if answer.status == 401:
        raise ConfigError(
            "gives its status only with a token; set RTP_READ_TOKEN or RTP_API_TOKEN to the consumer's own"
        )
    try:
        said = json.loads(answer.body)
        return {name: said[name] for name in NO_TOPICS}
    except (ValueError, KeyError, TypeError) as error:
        raise RtpError(f"{consumer_url}/status has no figures of topics: {error}") from error


def _get(url: str, path: str) -> int:
    return _answer(url, path).status


def _answer(url: str, path: str, token: SecretStr | None = None) -> Answer:
    """Returns the HTTP answer."""
    try:
        return ask(url.rstrip("/") + path, PROBE_S, token)
    except OSError as error:
        raise RtpError(f"no answer at {url}: {error}") from error


def _part(answer: Any) -> dict[str, Any]:
    if isinstance(answer, BusyError):
        return {"up": True, "busy": True, "detail": f"busy: {answer.in_the_way}"}
    if isinstance(answer, RtpError):
        return {"up": False, "busy": False, "detail": str(answer)}
    return {"up": True, "busy": False, "detail": answer if isinstance(answer, str) else None}


def _loss(loss: Loss) -> dict[str, Any]:
    return {
        "topic": loss.topic,
        "kafka_partition": loss.kafka_partition,
        "generation": loss.generation,
        "from_offset": loss.from_offset,
        "to_offset": loss.to_offset,
        "records_at_most": loss.offsets,
    }


def _lag(kafka: Any, postgres: Any) -> dict[int, int] | None:
    if isinstance(kafka, RtpError) or isinstance(postgres, RtpError) or kafka[0] is None:
        return None
    described, log = kafka
    return lag(postgres.account, described.topic_id, log)
