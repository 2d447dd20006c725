"""This platform's consumer, under the same conditions as its peers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import version

from bench.peers.peer import Launch, Target
from rtp_workers.settings import ConsumerSettings

NAME = "this platform"


@dataclass(frozen=True)
class Ours:
    """``rtp consume`` with its defaults."""

    ingest_dsn: str = field(repr=False)
    name: str = NAME
    table: str = "transactions"
    gave_up: str = ""

    def install(self) -> dict[str, str]:
        """Returns the version; there is nothing to install."""
        return {"real-time-data-platform": version("real-time-data-platform")}

    def settings(self) -> dict[str, str]:
        """Returns the rows of a commit, the only number that matters here; it is the default."""
        return {"rows a commit": str(ConsumerSettings.model_fields["consumer_batch_rows"].default)}

    def launch(self, target: Target) -> Launch:
        """Returns the command of the consumer without its HTTP API."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
        given = {
            "RTP_HOME": str(target.folder),
            "RTP_TOPIC": target.topic,
            "RTP_GROUP_ID": target.group,
            "RTP_KAFKA_BOOTSTRAP": target.bootstrap,
            "RTP_POSTGRES_INGEST_DSN": self.ingest_dsn,
        }
        return Launch([sys.executable, "-m", "rtp_workers.cli.main", "consume", "--no-api"], {**clean, **given})
