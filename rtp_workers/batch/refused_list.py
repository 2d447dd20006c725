"""Where refused rows are listed: on the disk, and for an object also next to it, where the list outlives a pod."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtp_workers import logs, private_file
from rtp_workers.batch.refused_file import FOLDER, RefusedFile, list_name
from rtp_workers.batch.rows import RefusedRow
from rtp_workers.batch.source_file import store_access
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.object_address import ObjectAddress, is_address, parse_address, parse_bucket
from rtp_workers.settings import LoaderSettings, PlatformSettings

COPY_EVERY_S = 15.0  # not more often, because each copy contains the whole list
log = logs.get("rtp.load")


@dataclass(frozen=True, slots=True)
class RefusedPlace:
    """Where lists go.

    Attributes:
        folder: the folder on the disk.
        copies: the folder in a store to which each list is copied; None if the disk is enough.
    """

    folder: Path
    copies: ObjectAddress | None = None

    def path_of(self, file_name: str, identity: str) -> Path:
        """Returns the path of a load's list on the disk."""
        return RefusedFile.path_of(self.folder, file_name, identity)

    def shown(self, file_name: str, identity: str) -> str:
        """Returns where a person finds a load's list."""
        if self.copies is not None:
            return str(self.copies.inside(list_name(file_name, identity)))
        return str(self.path_of(file_name, identity))


def refused_place(path: str, settings: PlatformSettings) -> RefusedPlace:
    """Returns where the refused rows of a file are listed.

    Raises:
        ConfigError: RTP_REFUSED_DIR is an address to which nothing can be written.
    """
    home = settings.home / FOLDER
    if settings.refused_dir is None:
        address = parse_address(path) if is_address(path) else None
        if address is None or address.is_web:
            return RefusedPlace(home)
        return RefusedPlace(home, address.folder.inside(FOLDER))
    if not is_address(settings.refused_dir):
        return RefusedPlace(Path(settings.refused_dir).expanduser().absolute())
    return RefusedPlace(home, parse_bucket(settings.refused_dir))


class RefusedList:
    """Lists refused rows on the disk, and copies the list into object storage if the place says so.

    Attributes:
        place: where the list goes.
        file: the list on the disk.
        shown: where a person finds it.
        warning: why the list could not be copied; empty if it could.
    """

    def __init__(
        self, place: RefusedPlace, file_name: str, identity: str, size_bytes: int, settings: LoaderSettings
    ) -> None:
        """Restores the list of an earlier run, cut to `size_bytes`.

        Raises:
            ConfigError, TransientError: the earlier list cannot be fetched from the store.
        """
        self.place = place
        self.shown, self.warning = place.shown(file_name, identity), ""
        self._access = store_access(str(place.copies), settings) if place.copies is not None else None
        self._copy = place.copies.inside(list_name(file_name, identity)) if place.copies is not None else None
        if size_bytes:
            self._bring_back(place.path_of(file_name, identity), size_bytes)
        self.file = RefusedFile(place.folder, file_name, identity, size_bytes, settings.loader_refused_bytes)
        self._copied_bytes, self._copied_at = self.file.size_bytes, 0.0

    @property
    def size_bytes(self) -> int:
        """The list's length with all rows added so far."""
        return self.file.size_bytes

    def add(self, rows: Iterable[RefusedRow]) -> None:
        """Appends rows. They are durable once `sync` has returned True."""
        self.file.add(rows)

    def sync(self, *, now: bool) -> bool:
        """Makes the added rows durable.

        Args:
            now: copy the list into the store even if it was copied a moment ago.

        Returns:
            False if the copy has to wait. Progress beyond the copied list must not be stored then.
        """
        self.file.sync()
        if not self._is_behind():
            return True
        if not now and time.monotonic() - self._copied_at < COPY_EVERY_S:
            return False
        try:
            self.publish()
        except RtpError as error:
            log.warning("refused_rows_not_copied", to=self.shown, reason=str(error))
            return False
        return True

    def publish(self) -> None:
        """Copies the list into the store.

        Raises:
            TransientError: the store is away. If it refuses, `warning` says so, and the list stays on the disk only.
        """
        if self._copy is None or self._access is None or not self._is_behind():
            return
        # Not imported at the top: files on a disk do not need it.
        from rtp_workers.objects.contents import write_object

        self.file.sync()
        self._copied_at = time.monotonic()
        try:
            write_object(self._copy, self._access, self.file.path.read_bytes())
        except ConfigError as error:
            self.shown, self._copy = str(self.file.path), None
            self.warning = (
                f"the refused rows are listed on this machine only, in {self.shown}: {error}. Set RTP_REFUSED_DIR to a "
                "place where the loader may write"
            )
        self._copied_bytes = self.file.size_bytes

    def close(self) -> None:
        """Closes the list on the disk."""
        self.file.close()

    def _is_behind(self) -> bool:
        return self._copy is not None and self._copied_bytes != self.file.size_bytes

    def _bring_back(self, path: Path, size_bytes: int) -> None:
        """Fetches the list of an earlier run, which may have run on another machine."""
        if self._copy is None or self._access is None or (path.exists() and path.stat().st_size >= size_bytes):
            return
        from rtp_workers.objects.contents import read_object
        from rtp_workers.objects.errors import ObjectMissingError

        try:
            content = read_object(self._copy, self._access)
        except ObjectMissingError:
            log.warning("refused_rows_gone", list=self.shown)  # somebody has deleted it; the counts stay
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_file.write(path, content.decode("utf-8", "surrogateescape"))
