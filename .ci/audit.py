"""Looks up everything that is pinned in a database of advisories; where none can be reached, says so and passes.

pip-audit ends with the same status when it finds something and when it finds nobody to ask, and its default service
passes over packages that a mirror does not describe. So its report decides: none means that nothing was looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = sorted((Path(__file__).parents[1] / "requirements").glob("*.txt"))
REQUIREMENTS = [path for path in REQUIREMENTS if path.name != "not-in-containers.txt"]  # names, no pins
UNREACHABLE = ("ConnectionError", "Timeout", "ProxyError", "SSLError", "ServiceError")
SOCKET_TIMEOUT_S = 10


def main() -> int:
    """Returns 1 where a pinned version has a known vulnerability, or where pip-audit fails for a reason of its own."""
    listed = [argument for path in REQUIREMENTS for argument in ("--requirement", str(path))]
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--timeout", str(SOCKET_TIMEOUT_S)]
    command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json", *listed]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    status, said = verdict(ran.stdout, ran.stderr)
    print(said)
    return status


def verdict(report: str, trouble: str) -> tuple[int, str]:
    """Returns the exit status and what to say, from pip-audit's two outputs."""
    if not report.strip():
        last = (trouble.strip().splitlines() or ["it said nothing"])[-1]
        if any(name in last for name in UNREACHABLE):
            return 0, f"audit: skipped, since the database of advisories cannot be reached from here ({last[:200]})"
        return 1, f"audit: pip-audit failed: {last[:500]}"
    pins: list[dict[str, Any]] = json.loads(report)["dependencies"]
    known = [
        f"{pin['name']} {pin['version']}: {one['id']}{_mended(one)}" for pin in pins for one in pin.get("vulns", ())
    ]
    passed_over = [f"{pin['name']}: {pin['skip_reason']}" for pin in pins if "skip_reason" in pin]
    if known or passed_over:
        return 1, "audit: update these, or say why not:\n  " + "\n  ".join(known + passed_over)
    return 0, f"audit: no known vulnerability in {len(pins)} pinned packages"


def _mended(vulnerability: dict[str, Any]) -> str:
    versions = vulnerability.get("fix_versions")
    return f", mended in {', '.join(versions)}" if versions else ""


if __name__ == "__main__":
    sys.exit(main())
