"""What `uv tool install` gives: the wheel in an environment of its own, started in a folder with nothing in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtp_workers.local import ports
from tests.conftest import new_folder, remove_folder
from tests.programs import clean_env

ROOT = Path(__file__).parents[2]
UV = (sys.executable, "-m", "uv")
SOURCES = ("rtp_workers", "rtp_dagster", "pyproject.toml", "README.md", "LICENSE")
VERSION = "9.8.7"
TIMEOUT_S = 600.0
PORTS = ("KAFKA", "POSTGRES", "PRODUCER", "CONSUMER", "DAGSTER")

pytestmark = pytest.mark.timeout(1200)


def run(*command: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def must(*command: str, cwd: Path, env: dict[str, str]) -> str:
    done = run(*command, cwd=cwd, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can reach."""
    made = new_folder()
    yield made
    remove_folder(made)


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    """The folder of programs of a fresh environment with the wheel and what is locked, taken from uv's cache."""
    source, environment = folder / "source", folder / "env"
    source.mkdir()
    for name in SOURCES:
        must("cp", "-r", str(ROOT / name), str(source), cwd=folder, env=clean_env())
    env = clean_env(SETUPTOOLS_SCM_PRETEND_VERSION=VERSION)
    must(*UV, "build", "--wheel", "--no-build-isolation", "--quiet", "--out-dir", str(folder), cwd=source, env=env)
    (wheel,) = folder.glob("*.whl")
    must(*UV, "venv", "--quiet", "--python", sys.executable, str(environment), cwd=folder, env=env)
    pip = (*UV, "pip", "install", "--quiet", "--python", str(environment))
    locked = (*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt"))
    if run(*locked, "--offline", cwd=folder, env=env).returncode != 0:
        must(*locked, cwd=folder, env=env)
    must(*pip, "--offline", "--no-deps", str(wheel), cwd=folder, env=env)
    # What the wheel asks for is what is locked: nothing is missing, nothing has another version.
    must(*UV, "pip", "check", "--python", str(environment), cwd=folder, env=env)
    return environment / "bin"


@pytest.fixture
def env(installed: Path) -> dict[str, str]:
    """An environment that knows the programs of the wheel, and nothing of this checkout."""
    free = {f"RTP_{name}_PORT": str(ports.free_port()) for name in PORTS}
    # Byte code is kept: each of a dozen programs would compile Dagster again.
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV", "DAGSTER_HOME")
    kept = {name: value for name, value in clean_env(**free).items() if name not in left_out}
    return {**kept, "PATH": f"{installed}{os.pathsep}{kept['PATH']}"}


def test_the_demo_runs_in_an_empty_folder(installed: Path, env: dict[str, str], home: Path) -> None:
    folder = home / "empty"
    folder.mkdir()
    assert f"rtp, version {VERSION}" in must(str(installed / "rtp"), "--version", cwd=folder, env=env)
    said = must(str(installed / "rtp"), "demo", "--live-for", "2s", "--rate", "100", cwd=folder, env=env)
    assert "22,000 rows into PostgreSQL" in said
    assert sorted(path.name for path in folder.iterdir()) == [".rtp", "data"]


def test_the_platform_starts_in_an_empty_folder(installed: Path, env: dict[str, str], home: Path) -> None:
    folder = home / "empty"
    folder.mkdir()
    said = must(str(installed / "rtp"), "up", "--run-for", "1s", cwd=folder, env=env)
    assert "with sample transactions" in said
    assert f"http://127.0.0.1:{env['RTP_DAGSTER_PORT']}" in said
