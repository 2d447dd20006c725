"""Small objects, written and read as a whole."""

from __future__ import annotations

import obstore

from rtp_workers.object_address import ObjectAddress
from rtp_workers.objects.access import StoreAccess, store_of
from rtp_workers.objects.asking import answer_of
from rtp_workers.objects.errors import translated


def write_object(address: ObjectAddress, access: StoreAccess, content: bytes) -> None:
    """Writes an object. It appears completely or not at all.

    Raises:
        ConfigError: writing it is not permitted.
        TransientError: the store is away.
    """
    with translated(address, "write it"):
        answer_of(lambda: obstore.put(store_of(address, access), address.key, content))


def read_object(address: ObjectAddress, access: StoreAccess) -> bytes:
    """Returns the whole content of an object.

    Raises:
        ObjectMissingError: it does not exist.
        ConfigError: reading it is not permitted.
        TransientError: the store is away.
    """
    with translated(address, "read it"):
        return bytes(answer_of(lambda: obstore.get(store_of(address, access), address.key).bytes()))
