"""What a contestant of ``python -m bench.peers`` has to offer: how to install it, its settings, how to start it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

STOP_S = 60.0


class NotAvailableError(Exception):
    """A peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Target:
    """What a contestant moves: one topic into one table.

    Attributes:
        bootstrap: of Kafka.
        topic: to read, from its start.
        dsn: of the database; a secret.
        folder: for the contestant's own files (settings, checkpoints, logs). A restart after a kill gets the same one.
    """

    bootstrap: str
    topic: str
    dsn: str = field(repr=False)
    folder: Path

    @property
    def group(self) -> str:
        """The consumer group: one for each run, kept across a restart."""
        return f"peers-{self.topic}-{self.folder.name}"

    @property
    def refused_topic(self) -> str:
        """The topic for the records that a contestant sets aside."""
        return f"{self.group}-refused"


@dataclass(frozen=True)
class Launch:
    """A command and its whole environment."""

    argv: list[str]
    env: Mapping[str, str]


class Peer(Protocol):
    """A contestant. SIGTERM stops it."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def table(self) -> str:
        """The table that it fills."""

    @property
    def gave_up(self) -> str:
        """What it prints when it has stopped moving records for good while its process lives on; empty: never."""

    def install(self) -> dict[str, str]:
        """Installs it into the cache if it is not there yet; returns the versions of its parts.

        Raises:
            NotAvailableError: it cannot be had here.
        """

    def settings(self) -> dict[str, str]:
        """Returns the settings that differ from its defaults."""

    def launch(self, target: Target) -> Launch:
        """Writes its files into the target's folder and returns the command that starts it."""
