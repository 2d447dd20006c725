"""Clients for object stores: how a store is reached, and how patient its client is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from rtp_workers.object_address import ObjectAddress
from rtp_workers.objects.errors import translated
from rtp_workers.settings import PlatformSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

# A request moves at most 4 MB. A slow line is not a broken one, so only a stalled request is given up.
READ_TIMEOUT, REQUEST_TIMEOUT, CONNECT_TIMEOUT = timedelta(seconds=30), timedelta(minutes=30), timedelta(seconds=10)
# These are retried: answers 5xx (including 503 SlowDown), lost connections, and the rest of a body that was cut off.
MAX_RETRIES, RETRY_TIMEOUT = 12, timedelta(seconds=60)
FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=8)
ENDPOINT_NAMES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """Credentials from our own settings. What is None is looked up as the stores' own tools do.

    Attributes:
        endpoint_url: the endpoint of an S3 store that is not Amazon's.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: PlatformSettings) -> StoreAccess:
        """Returns the credentials from the settings, or from the files of RTP_SECRETS_DIR."""
        secrets = (settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token)
        texts = [None if secret is None else secret.get_secret_value() for secret in secrets]
        return cls(settings.s3_endpoint_url, settings.s3_region, *texts)


def store_of(address: ObjectAddress, access: StoreAccess) -> ObjectStore:
    """Returns a client for the store of this address. Nothing is sent yet.

    Raises:
        ConfigError: an environment variable of the store is not valid.
    """
    with translated(address, "open its store", asks=False):
        if address.scheme == "s3":
            return _s3(address.container, access)
        if address.scheme == "gs":
            return GCSStore(address.container, client_options=_client(), retry_config=_retries())
        if address.scheme == "az":
            return AzureStore(address.container, client_options=_client(), retry_config=_retries())
        base = f"{address.scheme}://{address.container}/"
        query = f"?{address.query}" if address.query else ""
        return HTTPStore(base + query, client_options=_client(base), retry_config=_retries())


def _s3(bucket: str, access: StoreAccess) -> ObjectStore:
    endpoint_url = access.endpoint_url or next(filter(None, map(os.environ.get, ENDPOINT_NAMES)), None)
    given = {
        "endpoint": endpoint_url,
        "region": access.region,
        "access_key_id": access.access_key_id,
        "secret_access_key": access.secret_access_key,
        "session_token": access.session_token,
    }
    config: S3Config = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]  # keys as S3Config has them
    return S3Store(bucket, config=config, client_options=_client(endpoint_url), retry_config=_retries())


def _client(url: str | None = None) -> ClientConfig:
    """Returns the client's options. Encryption is off only if `url`, which a person has set, says so."""
    options: ClientConfig = {
        "read_timeout": READ_TIMEOUT,
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
    }
    if (url or "").lower().startswith("http://"):
        options["allow_http"] = True
    return options


def _retries() -> RetryConfig:
    return {
        "max_retries": MAX_RETRIES,
        "retry_timeout": RETRY_TIMEOUT,
        "backoff": {"init_backoff": FIRST_WAIT, "max_backoff": LONGEST_WAIT, "base": 2},
    }
