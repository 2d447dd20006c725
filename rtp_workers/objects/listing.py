"""Lists the objects of a bucket by name, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import obstore

from rtp_workers.errors import ConfigError
from rtp_workers.object_address import ObjectAddress
from rtp_workers.objects.access import StoreAccess, store_of
from rtp_workers.objects.asking import answer_of
from rtp_workers.objects.errors import translated
from rtp_workers.objects.versions import ObjectState

PAGE_OBJECTS = 1000  # the most that S3 lists in one answer


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object as a listing describes it."""

    address: ObjectAddress
    state: ObjectState


def list_objects(folder: ObjectAddress, access: StoreAccess) -> list[FoundObject]:
    """Returns the objects directly in a folder, sorted by name. Objects in deeper folders are never asked for.

    Raises:
        ConfigError: there is no such bucket, or listing it is not permitted.
        TransientError: the store is away.
    """
    _refuse_web(folder)
    with translated(folder, "list it"):
        store, prefix = store_of(folder, access), f"{folder.key}/" if folder.key else None
        found = answer_of(lambda: obstore.list_with_delimiter(store, prefix))
        objects = [FoundObject(_address(folder, meta["path"]), ObjectState.of(meta)) for meta in found["objects"]]
    return sorted(objects, key=lambda found: found.address.key)


def list_below(folder: ObjectAddress, access: StoreAccess) -> Iterator[FoundObject]:
    """Yields all objects below a folder, including those in deeper folders.

    Raises:
        ConfigError: there is no such bucket, or listing it is not permitted.
        TransientError: the store is away.
    """
    _refuse_web(folder)
    with translated(folder, "list it"):
        prefix = f"{folder.key}/" if folder.key else None
        for page in obstore.list(store_of(folder, access), prefix, chunk_size=PAGE_OBJECTS):
            for meta in page:
                yield FoundObject(_address(folder, meta["path"]), ObjectState.of(meta))


def _address(folder: ObjectAddress, key: str) -> ObjectAddress:
    return ObjectAddress(folder.scheme, folder.container, key)


def _refuse_web(folder: ObjectAddress) -> None:
    if folder.is_web:
        raise ConfigError(f"{folder}: a web server cannot list its files; give the address of each file")
