"""Checks, before anything starts, whether Kafka, PostgreSQL and Dagster can work with the folders that they are given.

Most odd names cause no trouble, because none of the user's paths is written into a file with another syntax. Kafka gets
paths relative to its working folder. Dagster's socket is elsewhere if its address could not hold the path.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from rtp_workers.errors import ConfigError
from rtp_workers.local import kafka_jars
from rtp_workers.printable import printable
from rtp_workers.settings import PlatformSettings

# PostgreSQL's limit for a path is 1,024 bytes; paths below the home take up to about 200.
HOME_BYTES = 700
NAME_BYTES = 255


def require_usable(settings: PlatformSettings) -> None:
    """Checks the folders that the settings name.

    Raises:
        ConfigError: one of them cannot be used; the message says why, and which setting changes it.
    """
    refuse_odd("RTP_HOME", settings.home)
    if isinstance(settings.data_dir, Path):
        refuse_odd("RTP_DATA_DIR", settings.data_dir)
    if len(os.fsencode(settings.home)) > HOME_BYTES:
        raise ConfigError(
            f"RTP_HOME is {len(os.fsencode(settings.home)):,} bytes long, and PostgreSQL allows {HOME_BYTES} at most; "
            "set RTP_HOME to a shorter path"
        )
    jars = kafka_jars.cache_folder()
    if settings.kafka_bootstrap is None and os.pathsep in str(jars):
        raise ConfigError(
            f"Kafka's jars would be in {jars}, but Java does not allow a colon in their path; "
            "set XDG_CACHE_HOME to a folder without one"
        )


def refuse_odd(setting: str, path: Path) -> None:
    """Raises ConfigError for a path that programs may mishandle, or that the system refuses."""
    shown = printable(str(path))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in str(path)):
        raise ConfigError(
            f"{setting} is {shown}: it has a control character or is not UTF-8; set {setting} to another folder"
        )
    longest = max(len(os.fsencode(name)) for name in path.parts)
    if longest > NAME_BYTES:
        raise ConfigError(
            f"{setting} has a name of {longest} bytes, and the system's limit is {NAME_BYTES}; shorten it"
        )
