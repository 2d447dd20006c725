"""The settings that every session relies on, whatever the environment, a service file, the role or the database say.

libpq and PostgreSQL take settings from many places. For example, a client encoding of LATIN1 would store wrong letters
without an error. So only the DSN says where and as whom we connect, and the settings below are the same everywhere.
"""

from __future__ import annotations

from psycopg2 import extensions

from rtp_workers.errors import ConfigError

CLIENT_ENCODING = "UTF8"

# The client checks once, at the start, how the server reads backslashes in quoted text, and always quotes that way.
FROM_THE_START = "-c standard_conforming_strings=on"

# Settings that change what a statement means or how a value is read or printed. Time-outs, planner settings and
# synchronous_commit stay the administrator's business: they cannot change what is stored.
PINNED: dict[str, str] = {
    "search_path": "public",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "default_transaction_isolation": "read committed",
}


def pin(connection: extensions.connection) -> int:
    """Fixes these settings for the rest of the session, in one round trip. Returns the server's process id.

    It uses statements, because a pooler may drop the settings in the start of a connection.

    Raises:
        ConfigError: a pooler dropped the one setting that cannot be set later.
    """
    if connection.get_parameter_status("standard_conforming_strings") != "on":
        connection.close()
        raise ConfigError(
            "PostgreSQL starts our sessions with standard_conforming_strings = off although we ask for on: "
            "a connection pooler drops our request; connect to PostgreSQL directly"
        )
    connection.autocommit = True
    connection.set_client_encoding(CLIENT_ENCODING)
    with connection.cursor() as cursor:
        settings = "; ".join(f"set {name} = {value}" for name, value in _quoted())
        cursor.execute(f"{settings}; select pg_backend_pid()")
        return int(cursor.fetchall()[0][0])


def _quoted() -> list[tuple[str, str]]:
    """Returns the settings with their values as SQL literals; no value holds a quote or a backslash."""
    return [(name, ", ".join(f"'{part}'" for part in value.split(", "))) for name, value in PINNED.items()]
