"""Finds the lists of refused rows, on this disk and in object storage."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtp_workers.batch.refused_file import FOLDER, raw_row
from rtp_workers.batch.refused_list import refused_place
from rtp_workers.batch.source_file import STDIN, store_access
from rtp_workers.object_address import ObjectAddress
from rtp_workers.settings import PlatformSettings

SUFFIX = ".csv"


@dataclass(frozen=True, slots=True)
class KnownList:
    """One list of refused rows.

    Attributes:
        name: the list's name: the file's name in its safe form, the load's identity, ``.csv``.
        shown: where the list is.
        read: returns its content.
    """

    name: str
    shown: str
    read: Callable[[], bytes]

    @property
    def file_name(self) -> str:
        """The file's name in its safe form."""
        return self.name.rsplit(".", 2)[0]

    def rows(self) -> Iterator[dict[str, str]]:
        """Yields the refused rows as they are in the file, with line, reason and detail."""
        for row in csv.DictReader(io.StringIO(self.read().decode("utf-8", "replace"), newline="")):
            yield {**row, "detail": raw_row(row["detail"]), "row": raw_row(row["row"])}


def known_lists(settings: PlatformSettings, next_to: ObjectAddress | None = None) -> list[KnownList]:
    """Returns every list in the places that the settings name, sorted by name.

    Args:
        settings: RTP_HOME, RTP_REFUSED_DIR and RTP_DATA_DIR.
        next_to: a folder of objects. Lists next to these objects are returned too.

    Raises:
        ConfigError, TransientError: a place in object storage cannot be listed.
    """
    place = refused_place(STDIN, settings)
    found = {list_.name: list_ for list_ in _on_disk(place.folder)}
    data = settings.data_dir
    folders = {place.copies, *(at.inside(FOLDER) for at in (next_to, data) if isinstance(at, ObjectAddress))}
    for folder in folders:
        if folder is not None:
            found |= {list_.name: list_ for list_ in _in_store(folder, settings)}
    return [found[name] for name in sorted(found)]


def _on_disk(folder: Path) -> Iterator[KnownList]:
    for path in folder.glob(f"*{SUFFIX}"):
        yield KnownList(path.name, str(path), path.read_bytes)


def _in_store(folder: ObjectAddress, settings: PlatformSettings) -> Iterator[KnownList]:
    # Not imported at the top: lists on a disk do not need it.
    from rtp_workers.objects.contents import read_object
    from rtp_workers.objects.listing import list_objects

    access = store_access(str(folder), settings)
    assert access is not None
    for item in list_objects(folder, access):
        if item.address.name.endswith(SUFFIX):
            yield KnownList(item.address.name, str(item.address), partial(read_object, item.address, access))
