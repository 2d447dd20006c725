"""Patterns in the addresses of objects, such as ``s3://bucket/exports/*.csv.gz``, which no shell expands."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from rtp_workers.batch.source_file import store_access
from rtp_workers.errors import ConfigError
from rtp_workers.object_address import ObjectAddress, is_address, parse_address
from rtp_workers.settings import PlatformSettings

WILDCARD = re.compile(r"[*?\[]")


def expanded(paths: Sequence[str], settings: PlatformSettings) -> tuple[str, ...]:
    """Returns the paths, with each pattern replaced by the objects that match it, sorted by name.

    ``*`` and ``?`` do not match a slash.

    Raises:
        ConfigError: no object matches a pattern, or listing the bucket is not permitted.
        TransientError: its store is away.
    """
    found: list[str] = []
    for path in paths:
        found += _fitting(path, settings) if is_address(path) else [path]
    return tuple(found)


def _fitting(path: str, settings: PlatformSettings) -> list[str]:
    address = parse_address(path)
    if address.is_web or not WILDCARD.search(address.key):
        return [path]
    from rtp_workers.objects.listing import list_below, list_objects  # files on a disk do not need it

    access = store_access(path, settings)
    assert access is not None
    folder = _literal_folder(address)
    one_level = "/" not in address.key.removeprefix(folder.key).strip("/")
    found = list_objects(folder, access) if one_level else list_below(folder, access)
    fitting = sorted(str(item.address) for item in found if fits(item.address.key, address.key))
    if not fitting:
        raise ConfigError(f"no object matches {address}; `*` does not match a slash. Check the bucket and the pattern")
    return fitting


def _literal_folder(address: ObjectAddress) -> ObjectAddress:
    """Returns the folder in which the pattern's first wildcard stands."""
    first = WILDCARD.search(address.key)
    before = address.key[: first.start()] if first else address.key
    return ObjectAddress(address.scheme, address.container, before.rpartition("/")[0])


def fits(key: str, pattern: str) -> bool:
    """Tells whether a pattern matches a key, part by part. A key always matches itself."""
    parts, patterns = key.split("/"), pattern.split("/")
    return key == pattern or (len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns)))
