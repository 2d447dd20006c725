"""`replay_dead_letters`: sends dead letters again, with the same code as ``rtp dead-letters replay``."""

import dagster as dg

from rtp_dagster.platform import Platform
from rtp_dagster.retries import retried
from rtp_workers.postgres.dead_letters import DeadLetterId, Filter
from rtp_workers.reconcile.mapped_replay import MappedReplay
from rtp_workers.reconcile.replay import ReplayReport, replay

SHOWN = 20


class ReplayConfig(dg.Config):
    """Which dead letters to send again.

    Attributes:
        ids: ``<topic_id>:<partition>:<offset>``, replayed before or not; None: all that the fields below select.
        topic: only dead letters of this topic; None: of our own topic. The section of a mapped topic converts its
            dead letters, and the records go to our own topic.
        reason: only dead letters with this reason; None: any reason.
        again: True also sends those that were replayed before.
    """

    ids: list[str] | None = None
    topic: str | None = None
    reason: str | None = None
    again: bool = False


@dg.op
def send_dead_letters(context: dg.OpExecutionContext, config: ReplayConfig, platform: Platform) -> None:
    """Produces each dead letter as a new record with the header replay_of, and marks it once Kafka has it.

    It is safe to repeat: a record that is sent twice is counted as a duplicate.
    """
    with retried(context.retry_number):
        settings = platform.settings()
        wanted: list[DeadLetterId] | Filter = [DeadLetterId.parse(text) for text in config.ids or ()]
        if not wanted:
            replayed = None if config.again else False
            wanted = Filter(topic=config.topic or settings.topic, reason=config.reason, replayed=replayed)
        report = replay(platform.endpoints(), settings.topic, wanted, remake=MappedReplay(settings).outgoing)
    context.add_output_metadata(replay_metadata(report))
    context.log.info(f"{report.replayed:,} dead letters sent again")
    if report.failed or report.unknown:
        raise dg.Failure(
            f"{len(report.failed)} dead letters were refused again, {len(report.unknown)} ids are unknown; "
            "the others were sent",
            metadata=replay_metadata(report),
            allow_retries=False,
        )


@dg.job(description="Sends dead letters again after their cause is fixed. Each is counted at its new offset.")
def replay_dead_letters() -> None:
    """Sends and marks, in one step."""
    send_dead_letters()


def replay_metadata(report: ReplayReport) -> dict[str, dg.MetadataValue]:
    """Returns the figures, and the first refusals."""
    return {
        "replayed": dg.MetadataValue.int(report.replayed),
        "refused": dg.MetadataValue.json(dict(list(report.failed.items())[:SHOWN])),
        "unknown": dg.MetadataValue.json(report.unknown[:SHOWN]),
    }
