"""``rtp up --pgadmin``: installed into an environment of its own, the database registered and within reach."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rtp_workers.endpoints import read_file
from rtp_workers.local import ports
from rtp_workers.local.pgadmin import EMAIL
from tests.conftest import StartRtp
from tests.pgadmin_web import PgAdmin
from tests.programs import clean_env
from tests.waiting import wait_until

INSTALL_S = 900  # pip installs 120 packages


@pytest.mark.timeout(INSTALL_S + 300)
def test_pgadmin_connects_to_the_embedded_database_as_the_reader(home: Path, start_rtp: StartRtp) -> None:
    names = ("KAFKA", "POSTGRES", "PGADMIN")
    env = clean_env(RTP_HOME=str(home), **{f"RTP_{name}_PORT": str(ports.free_port()) for name in names})
    running = start_rtp("up", "--only", "postgres", "--pgadmin", env=env)

    def url() -> str | None:
        assert running.running(), running.output()
        return read_file(home).pgadmin_url if "Ctrl-C stops everything" in running.output() else None

    where = wait_until(url, INSTALL_S, "pgAdmin's start")
    assert where is not None
    secret = home / "secrets" / "pgadmin"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    answer = PgAdmin(where, EMAIL, secret.read_text()).connect_first_server()
    assert answer["data"]["user"]["name"] == "rtp_read"
    assert secret.read_text() not in running.output()
