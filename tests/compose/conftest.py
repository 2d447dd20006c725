"""Fixtures: a Docker that answers, the images, and one running platform that the tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.docker import COMPOSE, ROOT, STANDIN, Project, docker, run

# The first run on a machine builds the stand-in images: 3 minutes on an idle one.
BUILD_TIMEOUT_S = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each of these tests time for the boot of the platform, and on a new machine for the images."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(BUILD_TIMEOUT_S + 600))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[None]:
    """A Docker that answers and has the public images; started here, and stopped again, where none runs.

    On a machine without access to an image registry both come from ../shared/standin.
    """
    started = not _docker_answers()
    if started or not _images_present():
        if STANDIN.is_dir():
            run(str(STANDIN / "build-standins.sh"), timeout_s=BUILD_TIMEOUT_S)
        elif started:
            pytest.fail("Docker does not answer; start it, then run `make test-compose` again")
    if COMPOSE == ("docker", "compose") and _fails("docker", "compose", "version"):
        run(str(STANDIN / "install-compose-v2.sh"))
    yield
    if started and not docker("ps", "--quiet").split():
        run(str(STANDIN / "stop-dockerd.sh"))


@pytest.fixture(scope="session")
def image(docker_engine: None) -> str:
    """Our image, built from this checkout."""
    builder = Project("rtp-test-build")
    builder.compose("build", "setup", timeout_s=BUILD_TIMEOUT_S)
    return "real-time-data-platform:local"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of data/, for the containers to read and for tests to add files to."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copytree(ROOT / "data", folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def platform(image: str, data_dir: Path) -> Iterator[Project]:
    """The whole platform, up and healthy. Tests leave it so; `BOOT_SECONDS` is how long that took."""
    project = Project(f"rtp-test-{os.getpid()}", settings={"RTP_DATA_DIR": str(data_dir)})
    try:
        started_s = time.monotonic()
        project.compose("up", "--detach", timeout_s=300)
        project.wait_healthy()
        project.settings["BOOT_SECONDS"] = str(round(time.monotonic() - started_s, 1))
        yield project
    finally:
        project.down()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots go, to be looked at; not under version control."""
    folder = ROOT / ".rtp" / "compose-artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _docker_answers() -> bool:
    return shutil.which("docker") is not None and not _fails("docker", "info")


def _images_present() -> bool:
    names = ("python:3.11-slim", "confluentinc/cp-kafka:7.9.1", "postgres:17", "dpage/pgadmin4:9")
    return not _fails("docker", "image", "inspect", *names)


def _fails(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0
