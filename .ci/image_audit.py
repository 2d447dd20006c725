"""Looks up the Debian packages of our image in Debian's security tracker: ``image_audit.py IMAGE``.

debsecan compares, as it does on any Debian machine; it gets the list of packages from the image. Only what Debian has a
fix for counts, since nobody can act on the rest. Where the tracker cannot be reached, it says so and passes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OUR_IMAGE = "real-time-data-platform:local"
UNREACHABLE = ("while downloading", "TimeoutError", "timed out", "ConnectionResetError", "RemoteDisconnected")
NO_SUCH_SUITE = "Are you sure"  # debsecan's words for a 404
TIMEOUT_S = 300


def main() -> int:
    """Returns 1 where the image holds a package that Debian has a fix for, or where debsecan fails."""
    image = sys.argv[1] if len(sys.argv) > 1 else OUR_IMAGE
    status, said = audit_image(image)
    print(said)
    return status


def audit_image(image: str) -> tuple[int, str]:
    """Returns the exit status and what to say about an image that Docker has."""
    packages = _read_from(image, "/var/lib/dpkg/status")
    suite = re.search(r"^VERSION_CODENAME=(\w+)$", _read_from(image, "/etc/os-release"), re.MULTILINE)
    if suite is None:
        return 1, f"audit: {image} names no Debian release in /etc/os-release; build it on a Debian image"
    return audit_packages(packages, suite[1])


def audit_packages(packages: str, suite: str, source: str | None = None) -> tuple[int, str]:
    """Returns the exit status and what to say.

    Args:
        packages: the content of /var/lib/dpkg/status.
        suite: Debian's release, e.g. ``trixie``.
        source: another address of the advisories than Debian's own.
    """
    if shutil.which("debsecan") is None:
        return 1, "audit: debsecan is missing, so nothing was looked up; install it: apt install debsecan"
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "status")
        listed.write_text(packages)
        command = ["debsecan", "--config", "/dev/null", "--suite", suite, "--only-fixed", "--status", str(listed)]
        command += ["--source", source] if source else []
        ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    count = sum(line.startswith("Package:") for line in packages.splitlines())
    return verdict(ran.returncode, ran.stdout, ran.stderr, count)


def verdict(returned: int, report: str, trouble: str, packages: int) -> tuple[int, str]:
    """Returns the exit status and what to say, from debsecan's answer about so many packages."""
    if returned != 0:
        last = " ".join(trouble.split())[-300:] or "it said nothing"
        if NO_SUCH_SUITE not in trouble and any(name in trouble for name in UNREACHABLE):
            return 0, f"audit: skipped, since Debian's security tracker cannot be reached from here ({last})"
        return 1, f"audit: debsecan failed: {last}"
    if packages == 0:
        return 1, "audit: the image lists no Debian package, so nothing was looked up"
    known = sorted(set(report.splitlines()))
    if known:
        return 1, "audit: pull the base image again and rebuild; Debian has fixed these:\n  " + "\n  ".join(known)
    return 0, f"audit: no fixable vulnerability in {packages} Debian packages of the image"


def _read_from(image: str, path: str) -> str:
    command = ["docker", "run", "--rm", "--entrypoint", "cat", image, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
