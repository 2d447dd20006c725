"""Sets up roles and databases, idempotently.

``bootstrap`` is for our own server (embedded or in a container), with its superuser. ``ensure_roles`` is for
somebody's own server, with the owner of one database. ``migrations/grants.sql`` says what each role may do with the
tables; ``migrate`` applies it.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg2 import extensions, sql
from pydantic import SecretStr

from rtp_workers.errors import ConfigError
from rtp_workers.postgres.connection import Connection, Cursor, connect, translated

OWNER, INGEST, READ, DAGSTER = "rtp_owner", "rtp_ingest", "rtp_read", "rtp_dagster"
INSIGHTS = "rtp_insights"  # reads transactions, writes a schema of its own
DATABASE, DAGSTER_DATABASE = "rtp", "dagster"
MIN_VERSION = 150_000
BOOTSTRAP_LOCK = 7_231_001

# With large objects, a role that may not write otherwise could fill the disk. With an advisory lock, it could keep a
# load of the same file waiting.
ADVISORY_LOCKS = tuple(
    f"{name}({arguments})"
    for name in (
        *("pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared"),
        *("pg_try_advisory_lock", "pg_try_advisory_lock_shared"),
        *("pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"),
    )
    for arguments in ("bigint", "integer, integer")
)
LARGE_OBJECTS = ("lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)")
NOT_FOR_EVERYBODY = (*LARGE_OBJECTS, *ADVISORY_LOCKS)

# A consumer that stops inside a transaction (SIGSTOP, a frozen machine) must release its locks. Normally only
# milliseconds pass between two statements of a batch. A reader must stop before it holds back vacuum for long.
SETTINGS: dict[str, dict[str, str]] = {
    OWNER: {},
    INGEST: {"idle_in_transaction_session_timeout": "15s"},
    READ: {
        "default_transaction_read_only": "on",
        "statement_timeout": "60s",
        "idle_in_transaction_session_timeout": "60s",
    },
    DAGSTER: {},
    INSIGHTS: {"idle_in_transaction_session_timeout": "60s"},
}


def bootstrap(
    superuser_dsn: str,
    passwords: Mapping[str, SecretStr],
    *,
    database: str = DATABASE,
    dagster_database: str | None = DAGSTER_DATABASE,
) -> None:
    """Creates roles and databases on our own server. It is safe to run again, and to run twice at the same time.

    Args:
        superuser_dsn: any database of the server, as a superuser.
        passwords: by role (`OWNER`, `INGEST`, `READ`, `DAGSTER` with a Dagster database, and `INSIGHTS` where it is
            wanted). An existing role gets this password, so that the stored secrets are always valid.
        database: the platform's own. It is created if missing, owned by `OWNER`, and closed to everybody else.
        dagster_database: Dagster's, owned by `DAGSTER`; None for none.

    Raises:
        ConfigError: no superuser, PostgreSQL older than 15, or a database that is not UTF8.
        TransientError: the server is away.
    """
    roles = (OWNER, INGEST, READ) + ((DAGSTER,) if dagster_database else ())
    roles += (INSIGHTS,) if INSIGHTS in passwords else ()
    _need_passwords(passwords, roles)
    connection = connect(superuser_dsn, "rtp-setup", autocommit=True)
    try:
        with translated("set up roles and databases"), connection.cursor() as cursor:
            _check_version(connection)
            _need_superuser(cursor)
            cursor.execute("select pg_advisory_lock(%s)", (BOOTSTRAP_LOCK,))
            cursor.execute("set log_statement = 'none'")
            for role in roles:
                _make_role(cursor, role, passwords[role])
            # It tells since when a session holds a lock. Only the owner gets it: it shows other sessions' statements.
            cursor.execute(sql.SQL("grant pg_read_all_stats to {}").format(sql.Identifier(OWNER)))
            _make_database(cursor, database, OWNER, (INGEST, READ))
            if dagster_database:
                _make_database(cursor, dagster_database, DAGSTER, ())
    finally:
        connection.close()
    _own_public_schema(superuser_dsn, database, OWNER, tuple(role for role in (INGEST, INSIGHTS) if role in roles))
    if dagster_database:
        _own_public_schema(superuser_dsn, dagster_database, DAGSTER)


def ensure_roles(owner_dsn: str, passwords: Mapping[str, SecretStr]) -> list[str]:
    """Creates missing roles on somebody's own server: `INGEST`, `READ`, and `INSIGHTS` where it has a password.

    Existing roles stay as they are.

    Args:
        owner_dsn: the platform's database, as a role that may create tables in it.
        passwords: by role, for the missing ones.

    Returns:
        The roles created, in order; empty if none was missing.

    Raises:
        ConfigError: roles are missing and this role may not create roles: the message is the SQL to run.
        TransientError: the server is away.
    """
    wanted = [INGEST, READ, *([INSIGHTS] if INSIGHTS in passwords else [])]
    connection = connect(owner_dsn, "rtp-setup", autocommit=True)
    try:
        with translated("look for the roles"), connection.cursor() as cursor:
            _check_version(connection)
            cursor.execute("select rolname from pg_roles where rolname = any(%s)", (wanted,))
            there = {name for (name,) in cursor.fetchall()}
            missing = [role for role in wanted if role not in there]
            if not missing:
                return []
            cursor.execute("select rolcreaterole or rolsuper from pg_roles where rolname = current_user")
            if not cursor.fetchall()[0][0]:
                raise ConfigError(
                    f"the roles {', '.join(missing)} are missing and {connection.info.user} may not create roles; "
                    f"have an administrator run:\n{roles_sql(missing)}"
                )
            _need_passwords(passwords, missing)
            for role in missing:
                _make_role(cursor, role, passwords[role])
            return missing
    finally:
        connection.close()


def set_password(dsn: str, role: str, password: SecretStr) -> None:
    """Sets the password of an existing role. It leaves this process only as a SCRAM verifier.

    Args:
        dsn: as a superuser, or as the role itself.
        role: whose password.
        password: the new one.
    """
    connection = connect(dsn, "rtp-setup", autocommit=True)
    try:
        with translated(f"set the password of {role}"), connection.cursor() as cursor:
            verifier = extensions.encrypt_password(password.get_secret_value(), role, connection, "scram-sha-256")
            cursor.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))
    finally:
        connection.close()


def roles_sql(roles: list[str]) -> str:
    """Returns the SQL that creates these roles, for a person to run, with placeholders for the passwords."""
    lines = []
    for role in roles:
        lines.append(f"create role {role} login password '<choose one>';")
        lines += [f"alter role {role} set {name} = '{value}';" for name, value in SETTINGS[role].items()]
    return "\n".join(lines)


def with_credentials(dsn: str, role: str, password: SecretStr) -> str:
    """Returns `dsn` (the same server, database and TLS settings) for another role."""
    return str(extensions.make_dsn(dsn, user=role, password=password.get_secret_value()))


def with_database(dsn: str, database: str) -> str:
    """Returns `dsn` for another database of the same server."""
    return str(extensions.make_dsn(dsn, dbname=database))


def credentials(dsn: str) -> tuple[str | None, SecretStr | None]:
    """Returns user and password of a DSN; None for each that it leaves out."""
    parsed = extensions.parse_dsn(dsn)
    password = parsed.get("password")
    return parsed.get("user"), None if password is None else SecretStr(str(password))


def server_address(dsn: str) -> tuple[str, int, str]:
    """Returns host, port and database of a DSN, with libpq's defaults for what it leaves out."""
    parsed = extensions.parse_dsn(dsn)
    return str(parsed.get("host", "localhost")), int(parsed.get("port", 5432)), str(parsed.get("dbname", DATABASE))


def _need_passwords(passwords: Mapping[str, SecretStr], roles: tuple[str, ...] | list[str]) -> None:
    lacking = [role for role in roles if role not in passwords or not passwords[role].get_secret_value()]
    if lacking:
        raise ConfigError(f"no password for {', '.join(lacking)}; give one for each role that is to be created")


def _check_version(connection: Connection) -> None:
    if connection.server_version < MIN_VERSION:
        raise ConfigError(
            f"PostgreSQL {connection.server_version // 10_000} is too old; versions 15 to 18 are supported"
        )


def _need_superuser(cursor: Cursor) -> None:
    cursor.execute("select rolsuper from pg_roles where rolname = current_user")
    if not cursor.fetchall()[0][0]:
        raise ConfigError(
            "setting up the server needs a superuser; on somebody else's server set RTP_POSTGRES_DSN to a database "
            "that you own, and run `rtp migrate`"
        )


def _make_role(cursor: Cursor, role: str, password: SecretStr) -> None:
    """Creates or resets a role. The password leaves this process only as a SCRAM verifier, so no log can contain it."""
    verifier = extensions.encrypt_password(password.get_secret_value(), role, cursor.connection, "scram-sha-256")
    cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
    name = sql.Identifier(role)
    statement = (
        sql.SQL("alter role {} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password {}")
        if cursor.fetchone()
        else sql.SQL("create role {} login password {}")
    )
    cursor.execute(statement.format(name, sql.Literal(verifier)))
    for setting, value in SETTINGS[role].items():
        statement = sql.SQL("alter role {} set {} = {}")
        cursor.execute(statement.format(name, sql.Identifier(setting), sql.Literal(value)))


def _make_database(cursor: Cursor, database: str, owner: str, connecting: tuple[str, ...]) -> None:
    cursor.execute("select pg_encoding_to_char(encoding) from pg_database where datname = %s", (database,))
    found = cursor.fetchone()
    name, owner_name = sql.Identifier(database), sql.Identifier(owner)
    if found is None:
        create = sql.SQL("create database {} owner {} encoding 'UTF8' template template0")
        cursor.execute(create.format(name, owner_name))
    elif found[0] != "UTF8":
        raise ConfigError(f"database {database} has the encoding {found[0]}, but it must be UTF8; create a new one")
    cursor.execute(sql.SQL("alter database {} owner to {}").format(name, owner_name))
    cursor.execute(sql.SQL("revoke all on database {} from public").format(name))
    for role in connecting:
        cursor.execute(sql.SQL("grant connect on database {} to {}").format(name, sql.Identifier(role)))


def _own_public_schema(superuser_dsn: str, database: str, owner: str, workers: tuple[str, ...] = ()) -> None:
    lockers = [sql.Identifier(role) for role in (owner, *workers)]
    connection = connect(with_database(superuser_dsn, database), "rtp-setup", autocommit=True)
    try:
        with translated(f"set up the schema of {database}"), connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", (BOOTSTRAP_LOCK,))
            cursor.execute(sql.SQL("alter schema public owner to {}").format(sql.Identifier(owner)))
            cursor.execute("revoke all on schema public from public")
            for function in NOT_FOR_EVERYBODY:
                cursor.execute(f"revoke execute on function pg_catalog.{function} from public")
            granted = sql.SQL("grant execute on function {} to {}")
            for function in ADVISORY_LOCKS:
                cursor.execute(granted.format(sql.SQL(f"pg_catalog.{function}"), sql.SQL(", ").join(lockers)))
    finally:
        connection.close()
