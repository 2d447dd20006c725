"""``rtp migrate``: brings roles, schema and privileges up to date, and reports drift."""

from __future__ import annotations

import json

import click
from pydantic import SecretStr

from rtp_workers.cli.terminal import say
from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.postgres import migrate as schema
from rtp_workers.postgres.roles import INGEST, INSIGHTS, READ, credentials, ensure_roles
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.option("--check", is_flag=True, help="Change nothing. Exit 1 if there is something to do.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(check: bool, as_json: bool) -> int:
    """Bring roles, schema and privileges up to date, and report drift (exit 1)."""
    endpoints = resolve(load(PlatformSettings))
    owner_dsn = endpoints.need("postgres_dsn")
    roles = [] if check else ensure_roles(owner_dsn, role_passwords(endpoints))
    applied = [] if check else schema.migrate(owner_dsn)
    drift = schema.drift(owner_dsn)
    report = {"roles": roles, "applied": applied, "revision": schema.current(owner_dsn), "drift": drift}
    if as_json:
        click.echo(json.dumps(report))
    else:
        for role in roles:
            say(f"created role {role}")
        for revision in applied:
            say(f"applied {revision}")
        say(f"schema is at revision {report['revision']}" if report["revision"] else "no schema yet")
        for sentence in drift:
            say(f"drift: {sentence}")
    return 1 if drift else 0


def role_passwords(endpoints: Endpoints) -> dict[str, SecretStr]:
    """Returns the passwords in the roles' DSNs: a missing role is created with the password that its users give."""
    found = {}
    given = {
        INGEST: endpoints.postgres_ingest_dsn,
        READ: endpoints.postgres_read_dsn,
        INSIGHTS: endpoints.postgres_insights_dsn,
    }
    for role, dsn in given.items():
        user, password = credentials(dsn) if dsn else (None, None)
        if user == role and password is not None:
            found[role] = password
    return found
