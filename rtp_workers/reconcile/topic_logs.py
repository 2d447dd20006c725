"""What waits in topics that are not our own, from Kafka and the ledger: no consumer needs to answer for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka import topics
from rtp_workers.kafka.topic_names import TopicNames
from rtp_workers.kafka.topic_watch import EARLIEST, LATEST
from rtp_workers.mapping.sources import read_sources
from rtp_workers.postgres.account import Account, summed
from rtp_workers.reconcile.balance import Log, lag
from rtp_workers.settings import PlatformSettings
from rtp_workers.topics.sections import plan_or_reason

# What only a consumer knows of a topic; the figures of one that nobody has answered for.
UNKNOWN: dict[str, Any] = {"state": None, "problems": {}, "partitions": None, "records_per_s": None}


@dataclass(frozen=True, slots=True)
class TopicLogs:
    """The topics that RTP_TOPICS names.

    Attributes:
        mapped: those with a complete section, by name: Kafka's id of the topic and its log.
        unmapped: the other ones, by name, with the reason.
    """

    mapped: dict[str, tuple[str, Log]] = field(default_factory=dict)
    unmapped: dict[str, str] = field(default_factory=dict)


def read_topic_logs(endpoints: Endpoints, settings: PlatformSettings, timeout_s: float) -> TopicLogs:
    """Asks Kafka for the topics that RTP_TOPICS names; `timeout_s` is for each request.

    Raises:
        TransientError: Kafka is away. AttentionError: not allowed. ConfigError: the mapping file cannot be read.
    """
    found = TopicLogs()
    if not settings.foreign_topics:
        return found
    names = TopicNames(endpoints, settings.foreign_topics, settings.topic).look()
    sources, admin = read_sources(settings.sources_path), topics.admin_client(endpoints)
    for name in names:
        plan = plan_or_reason(sources, name, settings.sources_path)
        if isinstance(plan, str):
            found.unmapped[name] = plan
            continue
        described = topics.described(admin, name, timeout_s)
        if described is not None:
            starts = topics.list_offsets(admin, described, EARLIEST, timeout_s)
            ends = topics.list_offsets(admin, described, LATEST, timeout_s)
            found.mapped[name] = (described.topic_id, {number: (starts[number], ends[number]) for number in starts})
    return found


def with_lag(said: Sequence[dict[str, Any]], logs: TopicLogs, account: Account) -> list[dict[str, Any]]:
    """Returns the figures of every mapped topic, by name.

    Args:
        said: what the consumer says of its topics; its lag and its counts give way to those of now.
        logs: of Kafka.
        account: the ledger.
    """
    by_name = {topic["topic"]: topic for topic in said}
    for name, (topic_id, log) in logs.mapped.items():
        by_name[name] = {
            **UNKNOWN,
            **by_name.get(name, {}),
            "topic": name,
            "topic_id": topic_id,
            "lag_records": sum(lag(account, topic_id, log).values()),
            **asdict(summed(account.of_topic(topic_id).values())),
        }
    return [topic for _, topic in sorted(by_name.items())]
