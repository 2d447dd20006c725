"""``Host`` is matched as a whole: what a URL parser would make of it does not count."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings
from rtp_workers.web.guard import LOOPBACK, Caller, GuardRules, host_name, rules_of
from rtp_workers.web.problems import Problem


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8001", "localhost"),
        ("127.0.0.1:8002", "127.0.0.1"),
        ("[::1]:8001", "::1"),
        ("localhost.", "localhost"),
        ("LOCALHOST.:8001", "localhost"),
        ("[::1]", "::1"),
        ("[::FFFF:127.0.0.1]:8001", "::ffff:127.0.0.1"),
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
        "[::1].evil.com:8001",
        "[::1%eth0]",
        "[localhost]",
        "[]",
        "localhost.:8001.",
        "localhost:-1",
        "localhost:٨٠",
        "localhost\x00.evil.com",
        "localhost\n",
        "localhost;evil.com",
        "localhost&evil.com",
        "ｌocalhost",
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


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "localhost.evil"],
)
def test_other_spellings_of_this_machine_are_not_ours(host: str) -> None:
    """A browser sends a name as somebody typed it: whoever owns the name could have typed these."""
    assert host_name(host) not in LOOPBACK


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost.:8001", False),
        ("HTTP://LOCALHOST.:8001", False),
        ("null", True),
        ("", True),
        ("file://", True),
        ("http://localhost:8001", True),
        ("http://localhost.", True),
        ("http://localhost.:8001.evil.com", True),
        ("http://me@localhost.:8001", True),
        ("http://localhost.:8001/", True),
        ("chrome-extension://localhost.:8001", True),
    ],
)
def test_an_origin_is_compared_as_a_whole(origin: str, refused: bool) -> None:
    headers = [(b"host", b"localhost.:8001"), (b"origin", origin.encode())]
    caller = Caller({"type": "http", "headers": headers}, GuardRules())
    caller.check_host()
    with pytest.raises(Problem, match="cannot change anything here") if refused else nullcontext():
        caller.check_origin()


def test_a_host_allowed_by_the_settings_must_be_one() -> None:
    assert (
        "rtp.example.com"
        in rules_of(PlatformSettings.model_validate({"allowed_hosts": "rtp.example.com:443, other"})).hosts
    )
    with pytest.raises(ConfigError, match="RTP_ALLOWED_HOSTS"):
        rules_of(PlatformSettings.model_validate({"allowed_hosts": "https://rtp.example.com/"}))
