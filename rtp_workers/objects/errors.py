"""obstore's errors -> ours, by class and status. Its messages may contain a signed address, whose query is removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from rtp_workers.errors import AccessError, ConfigError, RtpError, TransientError
from rtp_workers.object_address import ObjectAddress
from rtp_workers.printable import printable

RETRY_AFTER_S = 5.0
METADATA_SERVICE = "169.254.169.254"
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_QUERY = re.compile(r"\?\S*")
_PASSING_CODES = {"RequestTimeTooSkewed", "ExpiredToken"}


class ObjectMissingError(ConfigError):
    """There is no such object, or no such bucket."""


class ObjectChangedError(TransientError):
    """The object was replaced or deleted while it was read. The result would be half of each version."""


class NoRangesError(TransientError):
    """The web server does not answer with a part of a file."""


@contextmanager
def translated(address: ObjectAddress, doing: str, *, asks: bool = True) -> Iterator[None]:
    """Raises errors of the store as ours.

    Args:
        address: the object or the folder, for messages.
        doing: what was tried, such as ``read it``.
        asks: True if the store is asked; otherwise only settings can be at fault.
    """
    try:
        yield
    except RtpError:
        raise
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise _error(error, address, doing, asks) from None  # obstore's text may contain what must not be shown


def _error(error: Exception, address: ObjectAddress, doing: str, asks: bool) -> RtpError:
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    if isinstance(error, exceptions.PreconditionError):
        return changed(address)
    if isinstance(error, exceptions.NotSupportedError):
        return NoRangesError(f"{address}: the server does not send parts of a file")
    if METADATA_SERVICE in text:
        return AccessError(
            f"{address}: no credentials were found to {doing}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, put "
            "them into RTP_SECRETS_DIR, or set AWS_SKIP_SIGNATURE=true for a public bucket"
        )
    if isinstance(error, FileNotFoundError) or status == "404":
        missing = f"there is no bucket {address.container}" if code == "NoSuchBucket" else f"{address} does not exist"
        return ObjectMissingError(
            f"{missing}; check the name, and which account or endpoint it belongs to. For all files of a folder, give "
            "a pattern such as s3://bucket/folder/*.csv"
        )
    denied = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if denied or status in ("401", "403"):
        return AccessError(
            f"{address}: the store refuses to {doing} ({code or 'access denied'}); check the credentials, what they "
            "allow, and the region"
        )
    unfit = isinstance(error, ValueError | exceptions.InvalidPathError | exceptions.UnknownConfigurationKeyError)
    if unfit or not asks:
        return ConfigError(f"{address}: cannot {doing}: {_short(text)}; check the address and the store's settings")
    if status is not None and status.startswith("4") and status not in ("408", "429") and code not in _PASSING_CODES:
        return AccessError(f"{address}: the store refuses to {doing} ({code or status}); check the address and region")
    return TransientError(
        f"{address}: cannot {doing}: {code or _short(text)}; what is loaded so far is kept, run the load again",
        retry_after_s=RETRY_AFTER_S,
    )


def changed(address: ObjectAddress) -> ObjectChangedError:
    """Returns the error for an object that is no longer the version that was opened."""
    return ObjectChangedError(
        f"{address} was replaced or deleted while it was read; what is loaded so far is kept. Run the load again: it "
        "reads the new object from its beginning",
        retry_after_s=RETRY_AFTER_S,
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _short(text: str) -> str:
    """Returns the first line of obstore's message without the query of an address."""
    line = text.partition("\n")[0].partition("Debug source")[0]
    return printable(_QUERY.sub("?...", line))[:300].rstrip(" .")
