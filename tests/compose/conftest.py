"""Fixtures: a Docker that answers, the images, and one running platform that the tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.docker import COMPOSE, ROOT, STANDIN, Project, run
from tests.docker_engine import BUILD_TIMEOUT_S, OUR_IMAGE, docker_running, fails


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
    with docker_running("test-compose"):
        if COMPOSE == ("docker", "compose") and fails("docker", "compose", "version"):
            run(str(STANDIN / "install-compose-v2.sh"))
        yield


@pytest.fixture(scope="session")
def image(docker_engine: None) -> str:
    """Our image, built from this checkout."""
    builder = Project("rtp-test-build")
    builder.compose("build", "setup", timeout_s=BUILD_TIMEOUT_S)
    return OUR_IMAGE


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of data/, for the containers to read and for tests to add files to."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copytree(ROOT / "data", folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def platform(image: str, data_dir: Path) -> Iterator[Project]:
    """The whole platform, up and healthy. Tests leave it so."""
    project = Project(f"rtp-test-{os.getpid()}", settings={"RTP_DATA_DIR": str(data_dir)})
    try:
        project.compose("up", "--detach", timeout_s=300)
        project.wait_healthy()
        yield project
    finally:
        project.down()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots go, to be looked at; not under version control."""
    folder = ROOT / ".rtp" / "compose-artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
