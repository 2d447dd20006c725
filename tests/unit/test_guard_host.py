"""``Host`` is matched as a whole: what a URL parser would make of it does not count."""

from __future__ import annotations

import pytest

from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings
from rtp_workers.web.guard import LOOPBACK, host_name, rules_of


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8001", "localhost"),
        ("127.0.0.1:8002", "127.0.0.1"),
        ("[::1]:8001", "::1"),
        ("localhost.", "localhost"),
        ("consumer-streaming-api:8002", "consumer-streaming-api"),
    ],
)
def test_a_name_or_an_address_with_or_without_port_is_a_host(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "evil.com@127.0.0.1",
        "localhost#.evil.com",
        "localhost/.evil.com",
        "localhost?.evil.com",
        "localhost\\.evil.com",
        "user:pass@localhost:8001",
        "localhost:8001@evil.com",
        "localhost:80:80",
        "localhost:",
        "localhost:http",
        " localhost",
        "localhost evil.com",
        "localhost,evil.com",
        "localhost\t",
        "localhost%2eevil.com",
        "ⓛocalhost",
        "127.0.0.1\u3002evil",
        "[::1]evil.com",
        "[::1",
        "::1",
        "localhost..",
        ".localhost",
        "",
        "http://localhost",
    ],
)
def test_anything_else_is_nobodys_name(host: str) -> None:
    assert host_name(host) not in LOOPBACK
    assert host_name(host) == ""


def test_a_host_allowed_by_the_settings_must_be_one() -> None:
    assert (
        "rtp.example.com"
        in rules_of(PlatformSettings.model_validate({"allowed_hosts": "rtp.example.com:443, other"})).hosts
    )
    with pytest.raises(ConfigError, match="RTP_ALLOWED_HOSTS"):
        rules_of(PlatformSettings.model_validate({"allowed_hosts": "https://rtp.example.com/"}))
