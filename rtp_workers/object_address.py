"""The address of an object in a store, such as ``s3://bucket/exports/may.csv``: taken apart, and safe to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from rtp_workers.errors import ConfigError

BUCKET_SCHEMES = ("s3", "gs", "az")
WEB_SCHEMES = ("https", "http")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """Where an object is, or a folder of objects. As text it holds no secret.

    Attributes:
        scheme: s3, gs, az, https or http.
        container: the bucket; for a web address, host and port.
        key: the object's whole name in it, without a slash in front.
        query: the query of a web address. It may contain a signature, so it is never shown.
    """

    scheme: str
    container: str
    key: str
    query: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.container}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def folder(self) -> ObjectAddress:
        """The folder that the object is in."""
        return ObjectAddress(self.scheme, self.container, self.key.rpartition("/")[0])

    @property
    def is_web(self) -> bool:
        """True for https and http, where nothing can be listed or written."""
        return self.scheme in WEB_SCHEMES

    def inside(self, name: str) -> ObjectAddress:
        """Returns the address of `name` in this folder."""
        return ObjectAddress(self.scheme, self.container, f"{self.key}/{name}" if self.key else name)


def is_address(text: str) -> bool:
    """Tells an address from the path of a file."""
    return "://" in text


def name_in(text: str) -> str:
    """Returns the name of the object at the end of an address, even of an address that cannot be read."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() in WEB_SCHEMES:
        rest = unquote(urlsplit(text).path)
    return rest.strip("/").rpartition("/")[2]


def parse_address(text: str) -> ObjectAddress:
    """Takes an address apart.

    Raises:
        ConfigError: the address is of a kind that cannot be read, or contains a password. The message shows neither
            password nor query.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    container, _, key = rest.partition("/")
    if "@" in container:
        raise ConfigError(
            f"an address of {scheme}:// contains a user or a password, which would end up in logs; leave it out and "
            "give the credentials as the docs on object storage say"
        )
    if scheme in BUCKET_SCHEMES:
        return ObjectAddress(scheme, _named(container, text), key.strip("/"))
    if scheme not in WEB_SCHEMES:
        known = ", ".join(f"{name}://" for name in (*BUCKET_SCHEMES, "https"))
        raise ConfigError(f"{scheme}:// cannot be read; give a file, or an address that begins with one of {known}")
    parts = urlsplit(text)
    if scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(f"http://{container} is not encrypted, so anybody could change what is read; use https://")
    return ObjectAddress(
        scheme, _named(container.partition("?")[0], scheme), unquote(parts.path).strip("/"), parts.query
    )


def parse_bucket(text: str) -> ObjectAddress:
    """Takes apart the address of a folder that can be listed and written to.

    Raises:
        ConfigError: the address is of another kind, or contains a password.
    """
    address = parse_address(text)
    if address.is_web:
        raise ConfigError(f"{address}: a web server cannot list or store files; give an address like s3://bucket/x")
    return address


def _named(container: str, shown: str) -> str:
    if not container:
        raise ConfigError(f"{shown} has no bucket or host; give e.g. s3://bucket/exports/may.csv")
    return container
