"""The schema: migrations applied, and drift from what they made reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.postgres.connection import Connection, connect, translate, translated
from rtp_workers.postgres.roles import INGEST, READ, roles_sql

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATE_LOCK = 7_231_002
LOCK_WAIT_S = 30
SCRATCH_SCHEMA = "rtp_drift_check"


def migrate(owner_dsn: str) -> list[str]:
    """Brings the schema and the roles' privileges up to date in one transaction.

    Safe to run again, and for two callers at the same time: the second one waits and finds nothing to do.

    Args:
        owner_dsn: the platform's database, as its owner.

    Returns:
        The revisions applied now, oldest first; empty when the schema was up to date.

    Raises:
        ConfigError: roles are missing, the database is not UTF8, holds tables of somebody else under our names, or was
            migrated by a newer version of this program.
        TransientError: the server is away, or a lock was not obtained in `LOCK_WAIT_S` seconds.
    """
    with _alembic(owner_dsn) as (config, connection):
        _need_roles(connection)
        _need_utf8(connection)
        before = _revision(connection)
        command.upgrade(config, "head")
        with connection.cursor() as cursor:
            cursor.execute((MIGRATIONS / "grants.sql").read_text())
        return _after(config, before)


def current(dsn: str) -> str | None:
    """Returns the revision of the schema, or None for a database without our tables; any role of ours may ask."""
    connection = connect(dsn, "rtp-migrate", autocommit=True)
    try:
        with translated("read the schema's revision"):
            return _revision(connection)
    finally:
        connection.close()


def pending(dsn: str) -> list[str]:
    """Returns the revisions that `migrate` would apply, oldest first.

    Raises:
        ConfigError: the database was migrated by a newer version of this program.
    """
    return _after(_config(), current(dsn))


def drift(owner_dsn: str) -> list[str]:
    """Compares the tables with what the migrations make on this server, one sentence per difference.

    The migrations run in a scratch schema, which is rolled back, so that definitions are compared as this server's
    version prints them. Objects that somebody added are named only if they can refuse a record (a constraint, a
    trigger, a NOT NULL column without default).

    Args:
        owner_dsn: the platform's database, as its owner.

    Returns:
        The differences, empty when there are none; one that says so when nothing is migrated yet.
    """
    if current(owner_dsn) is None:
        return ["nothing is migrated yet: run `rtp migrate`"]
    todo = [f"revision {revision} is not applied: run `rtp migrate`" for revision in pending(owner_dsn)]
    if todo:
        return todo
    with _alembic(owner_dsn, SCRATCH_SCHEMA) as (config, connection):
        with connection.cursor() as cursor:
            cursor.execute(f"create schema {SCRATCH_SCHEMA}")
            cursor.execute(f"set local search_path = {SCRATCH_SCHEMA}")
        command.upgrade(config, "head")
        expected, found = _catalog(connection, SCRATCH_SCHEMA), _catalog(connection, "public")
        connection.rollback()
    return compare(expected, found)


def compare(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Returns one sentence per difference of two catalogs (`{"column transactions.amount": definition}`)."""
    sentences = []
    for name, definition in expected.items():
        if name not in found:
            sentences.append(f"{name} is missing: it should be {definition}")
        elif found[name] != definition:
            sentences.append(f"{name} is {found[name]}, it should be {definition}")
    tables = {name.split()[1] for name in expected if name.startswith("table ")}
    for name, definition in found.items():
        kind, _, target = name.partition(" ")
        ours = target.split(".")[0] in tables
        harmful = kind in ("constraint", "trigger") or (kind == "column" and definition.endswith(" not null"))
        if name not in expected and ours and harmful:
            sentences.append(f"{name} is not ours ({definition}): it can refuse records")
    return sorted(sentences)


def _catalog(connection: Connection, schema: str) -> dict[str, str]:
    with connection.cursor() as cursor:
        # Other objects are printed without a schema only while theirs is the search path.
        cursor.execute("select set_config('search_path', %s, true)", (schema,))
        cursor.execute((MIGRATIONS / "catalog.sql").read_text(), {"schema": schema})
        return dict(cursor.fetchall())


@contextmanager
def _alembic(owner_dsn: str, schema: str = "public") -> Iterator[tuple[Config, Connection]]:
    """Opens one transaction that holds the migration lock; commits it at the end."""
    connection = connect(owner_dsn, "rtp-migrate", options=f"-c lock_timeout={LOCK_WAIT_S}s -c search_path=public")
    engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=lambda: connection, poolclass=NullPool)
    config = _config()
    try:
        with engine.begin() as alembics:
            alembics.exec_driver_sql(f"select pg_advisory_xact_lock({MIGRATE_LOCK})")
            config.attributes.update(connection=alembics, schema=schema)
            yield config, connection
    except DBAPIError as error:
        raise _explain(error.orig if isinstance(error.orig, psycopg2.Error) else psycopg2.Error(str(error))) from error
    except psycopg2.Error as error:
        raise _explain(error) from error
    except CommandError as error:
        raise ConfigError(
            f"the migrations cannot run: {error}; use the version of rtp that this database has"
        ) from error
    finally:
        engine.dispose()
        connection.close()


def _explain(error: psycopg2.Error) -> RtpError:
    if error.pgcode == "42P07":
        return ConfigError(
            f"the database has tables that are not ours ({error.diag.message_primary}); "
            "point RTP_POSTGRES_DSN at an empty database"
        )
    if error.pgcode == "55P03":
        return TransientError(
            f"migrate: another migration or a long statement holds a lock for {LOCK_WAIT_S} s; try again"
        )
    return translate(error, "migrate the schema")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _after(config: Config, revision: str | None) -> list[str]:
    script = ScriptDirectory.from_config(config)
    try:
        return [item.revision for item in reversed(list(script.iterate_revisions("head", revision or "base")))]
    except (CommandError, RevisionError) as error:
        raise ConfigError(
            f"the database is at revision {revision}, which this version of rtp does not know; use a newer rtp"
        ) from error


def _revision(connection: Connection) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('public.alembic_version') is not null")
        if not cursor.fetchall()[0][0]:
            return None
        cursor.execute("select version_num from public.alembic_version")
        row = cursor.fetchone()
        return None if row is None else str(row[0])


def _need_roles(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select rolname from pg_roles where rolname = any(%s)", ([INGEST, READ],))
        there = {name for (name,) in cursor.fetchall()}
    missing = [role for role in (INGEST, READ) if role not in there]
    if missing:
        raise ConfigError(
            f"the roles {', '.join(missing)} are missing; have an administrator run:\n{roles_sql(missing)}"
        )


def _need_utf8(connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError(f"the database has the encoding {encoding}, but it must be UTF8; create a new one")
