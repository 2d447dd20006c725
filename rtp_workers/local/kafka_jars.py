"""Kafka's jars: downloaded once by coordinates, checked against their pinned sha256, kept in the user's cache.

``kafka_jars.json`` pins every jar (``group:artifact:version`` -> sha256), so nothing is resolved at run time. A
second home, or a machine without a network, starts at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from rtp_workers.errors import FatalError, TransientError

CACHE_FOLDER = "real-time-data-platform"
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_TIMEOUT_S = 60


def pinned() -> dict[str, str]:
    """Returns coordinates (``group:artifact:version``) -> sha256 of the jar."""
    jars: dict[str, str] = json.loads(files(__package__).joinpath("kafka_jars.json").read_text())
    return jars


def kafka_version() -> str:
    """Returns the version of the pinned broker."""
    return next(coordinates for coordinates in pinned() if ":kafka_2.13:" in coordinates).rsplit(":", 1)[1]


def class_path() -> str:
    """Returns Java's class path with all of Kafka. Downloads Kafka first if this user does not have it.

    Raises:
        TransientError: the jars are not in the cache and could not be downloaded.
        FatalError: a downloaded jar is not the pinned one.
    """
    folder = cache_folder()
    if not folder.exists():
        _fill(folder)
    return str(folder / "*")


def cache_folder() -> Path:
    """Returns where the jars of exactly this list are, or will be. The folder exists only when it is complete."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / CACHE_FOLDER
    mark = hashlib.sha256(json.dumps(pinned(), sort_keys=True).encode()).hexdigest()[:12]
    return root / f"kafka-{kafka_version()}-{mark}"


def _fill(folder: Path) -> None:
    """Downloads into a draft next to `folder` and renames it. If two do so at once, the second draft is dropped."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (draft / "jars").mkdir()
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            for _ in pool.map(lambda item: _fetch(draft, *item), pinned().items()):
                pass
        try:
            (draft / "jars").rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(draft)


def _fetch(draft: Path, coordinates: str, sha256: str) -> None:
    # Imported here: it takes a third of a second, and only the first start needs it.
    from jgo.constants import default_maven_repo
    from jgo.maven import MavenContext

    group, artifact, version = coordinates.split(":")
    maven = MavenContext(repo_cache=draft / "downloads", local_repos=[default_maven_repo()], timeout=DOWNLOAD_TIMEOUT_S)
    try:
        jar = maven.project(group, artifact).at_version(version).artifact().resolve()
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's own are RuntimeErrors
        raise TransientError(
            f"Kafka's {coordinates} could not be downloaded ({type(error).__name__}: {error}); "
            "the first start needs the network. Connect to it, or set RTP_KAFKA_BOOTSTRAP to your own Kafka"
        ) from error
    content = jar.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FatalError(f"{jar} is not the pinned {coordinates}: its sha256 differs; delete it and try again")
    (draft / "jars" / jar.name).write_bytes(content)
