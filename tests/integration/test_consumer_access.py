"""Who may call the consumer's HTTP API, and what it says when a login or its port is taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from psycopg2.extensions import parse_dsn

from rtp_workers.postgres.connection import connect
from tests.conftest import Stack, StartRtp
from tests.consumer_answers import readiness, started, status
from tests.programs import RunningProgram, run_rtp, status_with
from tests.reading import query
from tests.waiting import wait_until

TOKEN = "correct horse"  # noqa: S105 - of this test
VIEWER = "only looking"


def test_who_may_not_call_changes_nothing(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> None:
    started(start_rtp, stack, api, RTP_API_TOKEN=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert api.get("/status", headers={"Host": "evil.example"}).status_code == 421
    assert api.post("/pause").status_code == 401
    assert api.post("/pause", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert api.post("/pause", headers={**bearer, "Origin": "http://evil.example"}).status_code == 403
    assert api.post("/dead-letters/replay", json={"all": True}).status_code == 401
    assert api.post("/pause", headers=bearer, content=b"x" * 10_000_000).status_code == 413
    assert not query(stack, "select paused from ingest_control")[0]["paused"]
    own = stack.endpoints.need("consumer_url")
    assert api.post("/pause", headers={**bearer, "Origin": own}).status_code == 200
    assert query(stack, "select paused from ingest_control")[0]["paused"]


@pytest.mark.parametrize("given", [None, "wrong", VIEWER, TOKEN])
def test_with_a_token_set_reading_needs_one_too(
    given: str | None, stack: Stack, start_rtp: StartRtp, api: httpx.Client
) -> None:
    tokens = {"RTP_API_TOKEN": TOKEN, "RTP_READ_TOKEN": VIEWER}
    started(start_rtp, stack, api, **tokens)
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    allowed = given in tokens.values()
    for path in ("/status", "/history", "/transactions", "/dead-letters", "/openapi.json"):
        assert api.get(path, headers=headers).status_code == (200 if allowed else 401), path
    with api.stream("GET", "/events", headers=headers) as feed:
        assert feed.status_code == (200 if allowed else 401)
    for path in ("/", "/docs", "/metrics", "/health/live", "/health/ready", "/static/live.js", "/page/consumer.js"):
        assert api.get(path).status_code == 200, path
    assert api.post("/pause", headers=headers).status_code == {VIEWER: 403, TOKEN: 200}.get(given or "", 401)


def test_rtp_status_sends_the_token_that_it_has(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> None:
    tokens = {"RTP_API_TOKEN": TOKEN, "RTP_READ_TOKEN": VIEWER}
    started(start_rtp, stack, api, **tokens)
    for env in (tokens, {"RTP_READ_TOKEN": VIEWER}, {"RTP_API_TOKEN": TOKEN}):
        status_with(lambda found: found["topics"] is not None, {**stack.env, **env})
    without = status_with(lambda found: "RTP_READ_TOKEN" in str(found["consumer"]["detail"]), stack.env)
    assert without["topics"] is None


@contextmanager
def locked_out(stack: Stack, dsn_name: str) -> Iterator[None]:
    """Changes a role's password as whoever knows the old one can, and changes it back."""
    dsn = stack.endpoints.need(dsn_name)
    session = connect(dsn, "somebody else", autocommit=True)
    with session.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = off")
        cursor.execute("alter role current_user password 'changed by somebody else'")
        try:
            yield
        finally:
            cursor.execute("alter role current_user password %s", (parse_dsn(dsn)["password"],))
            session.close()


def test_readiness_tells_that_a_role_has_lost_its_login(
    service: RunningProgram, stack: Stack, api: httpx.Client
) -> None:
    with locked_out(stack, "postgres_read_dsn"):
        wait_until(lambda: "can no longer log in" in readiness(api)[1], timeout_s=90, what="the lost login")
        assert readiness(api)[0] == 200, "records flow"
        assert "rtp_read" in status(api)["warnings"]["login"]
    wait_until(lambda: readiness(api) == (200, ""), timeout_s=90, what="readiness without a warning")
    with locked_out(stack, "postgres_ingest_dsn"):
        wait_until(lambda: readiness(api)[0] == 503, timeout_s=90, what="the lost login")
        assert "rtp_ingest" in status(api)["problems"]["login"]
    wait_until(lambda: readiness(api) == (200, ""), timeout_s=90, what="readiness")


def test_a_taken_port_is_an_error_that_names_its_setting(service: RunningProgram, stack: Stack) -> None:
    second = run_rtp("consume", env=stack.env)
    assert second.returncode == 2
    assert "RTP_CONSUMER_PORT" in second.stderr
