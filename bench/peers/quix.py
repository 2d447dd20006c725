"""Quix Streams with its PostgreSQLSink."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.peers import installs
from bench.peers.peer import Launch, Target
from bench.peers.table import PEER_TABLE

VERSION = "3.28.1"
PROGRAM = Path(__file__).parent / "programs" / "quix_job.py"


@dataclass(frozen=True)
class Quix:
    """One application.

    Attributes:
        folder: where `install` puts it.
    """

    folder: Path
    name: str = "Quix Streams PostgreSQLSink"
    table: str = PEER_TABLE
    gave_up: str = ""

    def install(self) -> dict[str, str]:
        """Installs it with pip."""
        installs.python_packages(self.folder / "python", [f"quixstreams[postgresql]=={VERSION}"])
        return {"Quix Streams": VERSION}

    def settings(self) -> dict[str, str]:
        """Returns the settings that differ from the defaults."""
        return {
            "commit_every": "60000",
            "commit_interval": "5.0",
            "on_conflict_do_nothing": "True",
            "schema_auto_update": "False",
            "include_metadata": "False",
        }

    def launch(self, target: Target) -> Launch:
        """Returns the command."""
        given = {
            "bootstrap": target.bootstrap,
            "topic": target.topic,
            "group": target.group,
            "dsn": target.dsn,
            "table": self.table,
            "commit_every": int(self.settings()["commit_every"]),
            "commit_interval_s": float(self.settings()["commit_interval"]),
        }
        env = {"PATH": "/usr/bin:/bin", "HOME": str(target.folder), "LC_ALL": "C.UTF-8", "PEER": json.dumps(given)}
        return Launch([str(self.folder / "python" / "bin" / "python"), str(PROGRAM)], env)
