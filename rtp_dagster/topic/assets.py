"""`transactions_topic`: creates the topic, or verifies it."""

import dagster as dg

from rtp_dagster.platform import Platform
from rtp_dagster.retries import retried
from rtp_workers.kafka.platform_topic import ensure_platform_topic
from rtp_workers.kafka.topics import CONFIGS, TopicReport


class TopicConfig(dg.Config):
    """What to do if the topic differs from what it should be.

    Attributes:
        alter: True: change its settings and add missing partitions. False: fail the run and name the differences.
    """

    alter: bool = False


@dg.asset(
    group_name="ingestion",
    kinds={"kafka"},
    owners=["team:data-platform"],
)
def transactions_topic(
    context: dg.AssetExecutionContext, config: TopicConfig, platform: Platform
) -> dg.MaterializeResult[None]:
    """The Kafka topic that every transaction passes through: created if missing, else compared with what it must be."""
    with retried(context.retry_number):
        report = ensure_platform_topic(platform.endpoints(), platform.settings(), alter=config.alter)
    for sentence in report.altered:
        context.log.info(f"altered: {sentence}")
    if report.drift:
        raise dg.Failure(
            f"topic {report.topic} differs: {'; '.join(report.drift)}. Run again with alter: true to change it",
            metadata=topic_metadata(report),
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=topic_metadata(report))


def topic_metadata(report: TopicReport) -> dict[str, dg.MetadataValue]:
    """Returns the partitions, the topic's id, its settings as a table, and its drift."""
    records = [
        dg.TableRecord({"setting": name, "wanted": wanted, "found": report.configs.get(name, "")})
        for name, wanted in CONFIGS.items()
    ]
    return {
        "topic": dg.MetadataValue.text(report.topic),
        "topic_id": dg.MetadataValue.text(report.topic_id),
        "partitions": dg.MetadataValue.int(report.partitions),
        "replication": dg.MetadataValue.int(report.replication),
        "created": dg.MetadataValue.bool(report.created),
        "configs": dg.MetadataValue.table(records),
        "drift": dg.MetadataValue.json(report.drift),
        "altered": dg.MetadataValue.json(report.altered),
    }
