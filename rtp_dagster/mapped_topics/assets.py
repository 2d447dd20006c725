"""An external asset for each mapped topic, upstream of `transactions`."""

import dagster as dg

from rtp_workers.endpoints import resolve
from rtp_workers.errors import RtpError
from rtp_workers.kafka.topic_names import TopicNames
from rtp_workers.mapping.sources import read_sources
from rtp_workers.reconcile.consumed_topics import has_section
from rtp_workers.settings import DagsterSettings, load


def mapped_topics() -> list[str]:
    """Returns the topics that RTP_TOPICS names and that have a complete section. Read when the code location is loaded.

    Kafka is asked only if RTP_TOPICS holds a pattern. If it is away then, or a setting is wrong, the matching topics
    are missing until the code location is loaded again. The sensors say what is wrong.
    """
    try:
        settings = load(DagsterSettings)
        patterns = settings.foreign_topics
        if not patterns:
            return []
        sources = read_sources(settings.sources_path)
        names = {pattern for pattern in patterns if not set("*?[") & set(pattern)}
        if len(names) < len(patterns):
            names |= _existing(settings, patterns)
        return sorted(name for name in names if has_section(sources, name))
    except RtpError:
        return []


def _existing(settings: DagsterSettings, patterns: tuple[str, ...]) -> set[str]:
    try:
        return set(TopicNames(resolve(settings), patterns, settings.topic).look())
    except RtpError:
        return set()


def topic_key(topic: str) -> dg.AssetKey:
    """Returns the asset key of a mapped topic."""
    return dg.AssetKey(["topics", topic])


def topic_asset(topic: str) -> dg.AssetSpec:
    """Returns the asset of a mapped topic. It is external: others write the topic, and we only read it."""
    return dg.AssetSpec(
        topic_key(topic),
        description=(
            f"The topic {topic}, which others write. Its section in the mapping file says how its records become "
            "transactions. `mapped_topics_sensor` records how many wait, and how many became rows or dead letters."
        ),
        group_name="ingestion",
        kinds={"kafka"},
        owners=["team:data-platform"],
    )
