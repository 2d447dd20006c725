"""The scan of the image's Debian packages: the real debsecan, and a database of advisories in Debian's format."""

from __future__ import annotations

import runpy
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

ROOT = Path(__file__).parents[2]
AUDIT = runpy.run_path(str(ROOT / ".ci" / "image_audit.py"))
audit_packages = cast("Callable[[str, str, str], tuple[int, str]]", AUDIT["audit_packages"])
verdict = cast("Callable[[int, str, str, int], tuple[int, str]]", AUDIT["verdict"])
SUITE = "trixie"
# Names of vulnerabilities; then package, index of the name, flags (source, urgency, remote, fixed), the version in
# unstable that mends it, and versions of this release that are mended too; then which source makes which packages.
ADVISORIES = """VERSION 1
CVE-2026-0001,,a hole in a library
CVE-2026-0002,,a hole that nobody has mended yet

openssl,0,SHRF,3.5.6-1,3.5.1-1+deb13u2
zlib,1,SM  ,,

openssl,libssl3t64 openssl
zlib,zlib1g
"""


def package(name: str, version: str, source: str) -> str:
    return (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nSource: {source}\nVersion: {version}\n\n"
    )


@pytest.fixture
def tracker(tmp_path: Path) -> str:
    """The address of a small database of advisories."""
    if shutil.which("debsecan") is None:
        pytest.skip("debsecan is not installed here (apt install debsecan); CI installs it")
    (tmp_path / SUITE).write_bytes(zlib.compress(ADVISORIES.encode()))
    return tmp_path.as_uri()


def test_a_package_with_a_known_hole_fails_and_is_named(tracker: str) -> None:
    packages = package("libssl3t64", "3.5.1-1+deb13u1", "openssl") + package("bash", "5.2.37-2", "bash")
    status, said = audit_packages(packages, SUITE, tracker)
    assert status == 1
    assert "CVE-2026-0001 libssl3t64 (fixed, remotely exploitable, high urgency)" in said
    assert "bash" not in said


@pytest.mark.parametrize("version", ["3.5.1-1+deb13u2", "3.5.6-1", "3.6.0-1"])
def test_a_mended_version_passes(tracker: str, version: str) -> None:
    packages = package("libssl3t64", version, "openssl")
    assert audit_packages(packages, SUITE, tracker) == (
        0,
        "audit: no fixable vulnerability in 1 Debian packages of the image",
    )


def test_a_version_of_a_rebuild_is_compared_by_its_source(tracker: str) -> None:
    rebuilt = package("libssl3t64", "3.5.1-1+deb13u1+b1", "openssl (3.5.1-1+deb13u1)")
    assert audit_packages(rebuilt, SUITE, tracker)[0] == 1


def test_a_hole_without_a_fix_does_not_fail(tracker: str) -> None:
    assert audit_packages(package("zlib1g", "1:1.3.1-1", "zlib"), SUITE, tracker)[0] == 0


def test_an_image_without_a_list_of_packages_is_not_clean(tracker: str) -> None:
    assert audit_packages("", SUITE, tracker)[0] == 1


def test_a_tracker_that_cannot_be_reached_is_said_and_passes(tracker: str) -> None:
    status, said = audit_packages(package("bash", "5", "bash"), SUITE, "http://127.0.0.1:1/")
    assert (status, "skipped" in said) == (0, True)


def test_without_debsecan_nothing_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, said = audit_packages(package("bash", "5", "bash"), SUITE, "")
    assert (status, "apt install debsecan" in said) == (1, True)


def test_an_unknown_release_or_any_other_failure_fails() -> None:
    assert (
        verdict(1, "", "error: while downloading x:\nHTTP Error 404\nAre you sure 'x' is a Debian codename?", 9)[0] == 1
    )
    assert verdict(1, "", "Traceback\nSyntaxError: package record does not contain status", 9)[0] == 1
    assert verdict(1, "", "", 9)[0] == 1


def test_ci_installs_what_the_scan_needs() -> None:
    for path in (".ci/run", ".github/workflows/check.yml"):
        assert "debsecan" in (ROOT / path).read_text()
