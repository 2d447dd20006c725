"""Addresses of objects: taken apart, never showing a secret, and patterns in them."""

from __future__ import annotations

import pytest

from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.object_names import fits
from rtp_workers.errors import ConfigError
from rtp_workers.object_address import parse_address


def test_an_address_is_taken_apart() -> None:
    address = parse_address("s3://bucket/exports/2026/may.csv.gz")
    assert (address.scheme, address.container, address.key) == ("s3", "bucket", "exports/2026/may.csv.gz")
    assert (address.name, str(address.folder)) == ("may.csv.gz", "s3://bucket/exports/2026")
    assert str(parse_address("s3://bucket/may.csv").folder.inside("refused")) == "s3://bucket/refused"


def test_a_signature_is_kept_but_never_shown() -> None:
    address = parse_address("https://files.example/a%20b/may.csv?X-Amz-Signature=geheim")
    assert (address.key, address.query) == ("a b/may.csv", "X-Amz-Signature=geheim")
    assert "geheim" not in f"{address} {address!r}"
    assert shown_name("https://files.example/a%20b/may.csv?X-Amz-Signature=geheim") == "may.csv"


@pytest.mark.parametrize("text", ["https://me:geheim@files.example/may.csv", "s3://key:geheim@bucket/may.csv"])
def test_a_password_in_an_address_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError, match="user or a password") as refused:
        parse_address(text)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("text", ["ftp://host/may.csv", "http://files.example/may.csv", "s3:///may.csv", "gs://"])
def test_what_cannot_be_read_safely_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


@pytest.mark.parametrize(
    ("key", "pattern", "fitting"),
    [
        ("a/may.csv.gz", "a/*.csv.gz", True),
        ("a/may.csv", "a/*.csv.gz", False),
        ("a/b/may.csv", "a/*.csv", False),
        ("a/b/may.csv", "a/*/*.csv", True),
        ("may (1).csv", "may (?).csv", True),
        ("export [1].csv", "export [1].csv", True),
        ("MAY.CSV", "*.csv", False),
    ],
)
def test_a_star_stands_for_anything_but_a_slash(key: str, pattern: str, fitting: bool) -> None:
    assert fits(key, pattern) is fitting
