"""Installs peers by their ordinary clients, each into a folder of the cache that exists only when it is complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.peers.peer import NotAvailableError

DOWNLOADS_AT_ONCE = 8
DOWNLOAD_TIMEOUT_S = 120


def python_packages(folder: Path, packages: Sequence[str]) -> Path:
    """Installs the packages into a virtual environment of their own, with pip, and returns its interpreter."""

    def fill() -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])

    _once(folder, fill)
    return folder / "bin" / "python"


def jars(folder: Path, coordinates: Sequence[str]) -> Path:
    """Downloads jars (``group:artifact:version``) from Maven Central into `folder`."""

    def fill() -> None:
        folder.mkdir(parents=True)
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            for jar in pool.map(lambda one: _artifact(one, "", "jar"), coordinates):
                shutil.copy(jar, folder)

    _once(folder, fill)
    return folder


def archive(folder: Path, coordinates: str, classifier: str) -> Path:
    """Downloads a ``.tar.gz`` from Maven Central and unpacks it into `folder`."""

    def fill() -> None:
        folder.mkdir(parents=True)
        with tarfile.open(_artifact(coordinates, classifier, "tar.gz")) as packed:
            packed.extractall(folder, filter="data")

    _once(folder, fill)
    return folder


def _artifact(coordinates: str, classifier: str, packaging: str) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = coordinates.split(":")
    store = Path(tempfile.gettempdir()) / "rtp-bench-peers-maven"
    maven = MavenContext(repo_cache=store, timeout=DOWNLOAD_TIMEOUT_S)
    found = maven.project(group, artifact).at_version(version).artifact(classifier, packaging)
    try:
        return Path(found.resolve())
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's own are RuntimeErrors
        raise NotAvailableError(f"{coordinates} could not be downloaded: {error}") from error


def _once(folder: Path, fill: Callable[[], None]) -> None:
    done = folder.with_name(f"{folder.name}.complete")
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    fill()
    done.touch()


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAvailableError(f"`{' '.join(command)}` failed: {(done.stdout + done.stderr).strip()[-500:]}")
