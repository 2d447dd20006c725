"""Which topics other than our own the consumer reads, by the settings, the mapping file and the ledger."""

from __future__ import annotations

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.kafka.topic_names import TopicNames
from rtp_workers.mapping.sources import Sources, read_sources
from rtp_workers.postgres.account import read_account
from rtp_workers.postgres.bounded import Reading
from rtp_workers.reconcile.verify import READ_AT_LEAST_S, reader_dsn
from rtp_workers.settings import PlatformSettings
from rtp_workers.topics.sections import topic_plan


def consumed_topics(endpoints: Endpoints, settings: PlatformSettings) -> list[str]:
    """Returns the topics that RTP_TOPICS names and that have a complete section, or rows in the ledger already.

    Raises:
        TransientError: Kafka or PostgreSQL is away.
        ConfigError: the mapping file cannot be read.
    """
    if not settings.foreign_topics:
        return []
    names = TopicNames(endpoints, settings.foreign_topics, settings.topic).look()
    sources = read_sources(settings.sources_path)
    dsn = reader_dsn(endpoints)
    reading = Reading(dsn, endpoints.postgres_dsn or dsn, "rtp-verify", "read the ledger", read_account)
    stored = {row.topic for row in reading.within(READ_AT_LEAST_S).ledger}
    return [name for name in names if name in stored or has_section(sources, name)]


def has_section(sources: Sources, topic: str) -> bool:
    """Tells whether a topic has a section that leaves nothing open."""
    section = sources.section_for_topic(topic)
    try:
        return section is not None and topic_plan(section, topic) is not None
    except ConfigError:
        return False
