"""A Docker engine that answers and has the public images, for the tests of containers and of Kubernetes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STANDIN = ROOT.parent / "shared" / "standin"
PUBLIC_IMAGES = ("python:3.11-slim", "confluentinc/cp-kafka:7.9.1", "postgres:17", "dpage/pgadmin4:9")
OUR_IMAGE = "real-time-data-platform:local"
# The first run on a machine builds the stand-in images: 3 minutes on an idle one.
BUILD_TIMEOUT_S = 1200


@contextmanager
def docker_running(target: str) -> Iterator[None]:
    """Holds a Docker that answers; started here, and stopped again, where none runs.

    On a machine without access to an image registry, engine and images come from ../shared/standin.

    Args:
        target: the make target to run again, for the message.
    """
    started = not docker_answers()
    if started or fails("docker", "image", "inspect", *PUBLIC_IMAGES):
        if STANDIN.is_dir():
            _run(str(STANDIN / "build-standins.sh"))
        elif started:
            pytest.fail(f"Docker does not answer; start it, then run `make {target}` again")
    yield
    if started and not _run("docker", "ps", "--quiet").split():
        _run(str(STANDIN / "stop-dockerd.sh"))


def docker_answers() -> bool:
    """Tells whether an engine is there."""
    return shutil.which("docker") is not None and not fails("docker", "info")


def fails(*command: str) -> bool:
    """Tells whether a command ends with an error."""
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout
