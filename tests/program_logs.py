"""What a program of ours has logged, as JSON lines."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tests.programs import RunningProgram


def log_lines(program: RunningProgram) -> list[dict[str, Any]]:
    """Returns what it has logged."""
    return [json.loads(line) for line in program.output().splitlines() if line.startswith("{") and line.endswith("}")]


def assigned(consumer: RunningProgram) -> set[int]:
    """Returns the partitions that it has, by its log."""
    found: set[int] = set()
    for line in log_lines(consumer):
        if line["event"] == "partitions_assigned":
            found.update(line["partitions"])
        elif line["event"] in ("partitions_revoked", "partitions_lost"):
            found.difference_update(line["partitions"])
    return found


def shared(one: RunningProgram, other: RunningProgram, partitions: int) -> bool:
    """Tells whether each has a share, and each partition is in one hand."""
    shares = assigned(one), assigned(other)
    return all(shares) and not shares[0] & shares[1] and len(shares[0] | shares[1]) == partitions


def seconds_between(program: RunningProgram, first: str, then: str) -> float:
    """Returns the time between the first two log lines of these events."""
    lines = log_lines(program)
    at = [next(line["timestamp"] for line in lines if line["event"] == event) for event in (first, then)]
    return (datetime.fromisoformat(at[1]) - datetime.fromisoformat(at[0])).total_seconds()
