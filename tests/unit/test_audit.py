"""What the audit of pinned packages makes of pip-audit's answers: silence is never taken for a clean report."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).parents[2]
AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
verdict = cast("Callable[[str, str], tuple[int, str]]", AUDIT["verdict"])
CLEAN = {"name": "msgspec", "version": "0.20.0", "vulns": []}


def report(*pins: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(pins), "fixes": []})


def test_a_clean_report_passes_and_counts() -> None:
    assert verdict(report(CLEAN, CLEAN), "No known vulnerabilities found") == (
        0,
        "audit: no known vulnerability in 2 pinned packages",
    )


def test_a_vulnerability_fails_and_names_the_version_that_mends_it() -> None:
    bad = {"name": "h11", "version": "0.1", "vulns": [{"id": "GHSA-1", "fix_versions": ["0.16.0"]}]}
    status, said = verdict(report(CLEAN, bad), "Found 1 known vulnerability")
    assert status == 1
    assert "h11 0.1: GHSA-1, mended in 0.16.0" in said


def test_a_package_that_was_passed_over_is_not_clean() -> None:
    status, said = verdict(report(CLEAN, {"name": "h11", "skip_reason": "not found"}), "")
    assert (status, "h11: not found" in said) == (1, True)


def test_an_unreachable_database_is_said_and_passes() -> None:
    status, said = verdict("", "Traceback\nrequests.exceptions.ConnectionError: Failed to resolve 'api.osv.dev'")
    assert status == 0
    assert "skipped" in said


def test_any_other_failure_fails() -> None:
    assert verdict("", "ERROR: requirement lacks a hash")[0] == 1
    assert verdict("", "")[0] == 1


def test_every_locked_file_is_looked_up_and_ci_asks() -> None:
    names = {path.name for path in AUDIT["REQUIREMENTS"]}
    assert {
        "runtime.txt",
        "dev.txt",
        "container.txt",
        "kubernetes.txt",
        "docs.txt",
        "build.txt",
        "bootstrap.txt",
    } <= names
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
