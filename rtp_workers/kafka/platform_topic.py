"""The platform's topic as the settings describe it: the number of partitions, of copies, and of copies in sync."""

from __future__ import annotations

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.kafka.topics import TopicReport, ensure_topic
from rtp_workers.settings import PlatformSettings


def ensure_platform_topic(endpoints: Endpoints, settings: PlatformSettings, *, alter: bool = False) -> TopicReport:
    """Creates the topic of the settings if it is missing; see `ensure_topic`.

    Raises:
        ConfigError: more copies would have to be in sync than exist, or Kafka refuses a setting.
        TransientError: Kafka is away.
        AttentionError: not allowed.
    """
    replication, min_insync = settings.topic_replication, settings.topic_min_insync
    if replication is not None and min_insync is not None and min_insync > replication:
        raise ConfigError(
            f"RTP_TOPIC_MIN_INSYNC is {min_insync}, but RTP_TOPIC_REPLICATION is {replication}: Kafka would never "
            "acknowledge a record; set it to at most the number of copies, best to one less"
        )
    return ensure_topic(
        endpoints,
        settings.topic,
        partitions=settings.topic_partitions,
        replication=replication,
        configs={} if min_insync is None else {"min.insync.replicas": str(min_insync)},
        alter=alter,
    )
