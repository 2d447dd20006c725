"""obstore's errors become ours by what they are, and show no signature."""

from __future__ import annotations

import pytest
from obstore import exceptions

from rtp_workers.errors import AccessError, ConfigError, RtpError, TransientError
from rtp_workers.object_address import parse_address
from rtp_workers.objects.access import StoreAccess, store_of
from rtp_workers.objects.errors import ObjectChangedError, ObjectMissingError, translated

MAY = parse_address("s3://exports/may.csv")
GET = "Error performing GET https://exports.example/may.csv?X-Amz-Signature=geheim in 9 ms"
GENERIC = exceptions.GenericError
STATUS = f"Generic S3 error: {GET} - Server returned non-2xx status code:"


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (GENERIC(f"{STATUS} 503 Slow Down: <Code>SlowDown</Code>"), TransientError, "SlowDown"),
        (
            GENERIC(f"Generic S3 error: {GET}, after 12 retries - HTTP error"),
            TransientError,
            "cannot read",
        ),
        (
            GENERIC(f"{STATUS} 400 Bad Request: <Code>ExpiredToken</Code>"),
            TransientError,
            "ExpiredToken",
        ),
        (GENERIC(f"{STATUS} 301 Moved"), TransientError, "cannot read"),
        (GENERIC(f"{STATUS} 400 Bad Request: <Code>BadKey</Code>"), AccessError, "BadKey"),
        (exceptions.PermissionDeniedError(f"{STATUS} 403 Forbidden"), AccessError, "check the credentials"),
        (exceptions.UnauthenticatedError(f"{STATUS} 401"), AccessError, "check the credentials"),
        (exceptions.PreconditionError(f"{STATUS} 412"), ObjectChangedError, "was replaced or deleted"),
        (FileNotFoundError(f"{STATUS} 404 Not Found: "), ObjectMissingError, "does not exist"),
        (GENERIC(f"{STATUS} 404: <Code>NoSuchBucket</Code>"), ObjectMissingError, "no bucket exports"),
        (
            GENERIC("Error performing PUT http://169.254.169.254/latest/api/token - status code: 403"),
            AccessError,
            "set AWS_ACCESS_KEY_ID",
        ),
        (
            ValueError('Could not parse path: Path "a//b" contained empty path segment'),
            ConfigError,
            "check the address",
        ),
    ],
)
def test_an_error_is_translated(raised: Exception, kind: type[RtpError], told: str) -> None:
    with pytest.raises(kind, match=told) as found, translated(MAY, "read it"):
        raise raised
    assert "s3://exports/may.csv" in str(found.value) or "bucket exports" in str(found.value)
    assert "geheim" not in str(found.value)


def test_a_store_that_lacks_a_setting_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match="Account must be specified; check the address and the store's settings"):
        store_of(parse_address("az://exports/may.csv"), StoreAccess())
