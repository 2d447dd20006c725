"""The data folder: which CSV files can be loaded, and which entries cannot, and why. One odd entry stops no others."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rtp_workers.batch.file_names import shown_name
from rtp_workers.errors import ConfigError
from rtp_workers.object_address import ObjectAddress
from rtp_workers.settings import PlatformSettings

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")


Stamp = tuple[int, int]  # size in bytes, time of the last change in ns
GONE: Stamp = (-1, -1)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or an object that can be opened.

    Attributes:
        name: the name as it is shown, stored and configured; see `shown_name`.
        path: the path as the operating system or the store knows it.
        listed: its stamp, if the listing contains it.
    """

    name: str
    path: Path | ObjectAddress
    listed: Stamp | None = None

    def stamp(self) -> Stamp:
        """Returns the size and the time of the last change; `GONE` if the file no longer exists."""
        if self.listed is not None or not isinstance(self.path, Path):
            return self.listed or GONE
        return file_stamp(self.path)


def file_stamp(path: Path) -> Stamp:
    """Returns a file's size and the time of its last change; `GONE` if it no longer exists."""
    try:
        state = path.stat()
    except OSError:
        return GONE
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that is named like a CSV and cannot be loaded. `reason` is a sentence that says what to do."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The content of a folder, sorted by name."""

    files: tuple[FoundFile, ...]
    refused: tuple[RefusedEntry, ...]


def list_data(settings: PlatformSettings) -> FolderListing:
    """Lists the CSVs directly inside the data folder, on a disk or in object storage.

    Raises:
        ConfigError: the folder is missing or cannot be read.
        TransientError: its store is away.
    """
    if isinstance(settings.data_dir, Path):
        return list_folder(settings.data_dir)
    # Not imported at the top: a folder on a disk does not need it.
    from rtp_workers.batch.object_origin import stamp_of
    from rtp_workers.objects.access import StoreAccess
    from rtp_workers.objects.listing import list_objects

    objects = list_objects(settings.data_dir, StoreAccess.of(settings))
    files = [
        FoundFile(shown_name(item.address.name), item.address, stamp_of(item.state))
        for item in objects
        if _is_csv(item.address.name)
    ]
    return FolderListing(tuple(files), ())


def _is_csv(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def list_folder(folder: Path) -> FolderListing:
    """Lists the CSVs directly inside `folder`, without hidden files and unfinished downloads.

    Raises:
        ConfigError: the folder is missing or cannot be read.
    """
    try:
        entries, root = sorted(folder.iterdir()), folder.resolve()
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be listed ({error.strerror}); set RTP_DATA_DIR to the folder of the CSV files"
        ) from error
    found, refused = [], []
    for path in entries:
        if not _is_csv(path.name):
            continue
        reason = _refusal(path, root)
        if reason is None:
            found.append(FoundFile(shown_name(path), path))
        else:
            refused.append(RefusedEntry(shown_name(path), reason))
    return FolderListing(tuple(found), tuple(refused))


def _refusal(path: Path, root: Path) -> str | None:
    """Returns why the entry cannot be loaded, or None. `root` is the folder, with its links resolved.

    Only links are resolved: that takes as long as all the rest, and there may be thousands of files.
    """
    try:
        leads_out = path.is_symlink() and not path.resolve().is_relative_to(root)
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:  # a dangling link; a loop of links
        kind = "a link to a file that does not exist" if path.is_symlink() else "gone or unreachable"
        detail = getattr(error, "strerror", None) or "a loop of links"
        return f"it is {kind} ({detail}); put the file itself into the folder"
    if leads_out:
        return "it is a link that leads out of the data folder; put the file itself there"
    if stat.S_ISDIR(mode):
        return "it is a folder; files in subfolders are not loaded: move them up, or rename the folder"
    if not stat.S_ISREG(mode):
        return "it is not a regular file; remove it from the data folder"
    if not os.access(path, os.R_OK):
        return "it cannot be read: permission denied; change its permissions"
    return None
