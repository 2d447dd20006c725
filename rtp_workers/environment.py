"""Environment variables of other programs that would change what our libraries do. We ignore them."""

from __future__ import annotations

import os

# libpq's variables that fill in what a DSN leaves out, or change the session. Those that only say where passwords,
# certificates or service files are still apply: PGPASSWORD, PGPASSFILE, PGSSLCERT, PGSERVICEFILE, ...
IGNORED = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS", "PGAPPNAME"),
    *("PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGSSLMODE", "PGREQUIRESSL", "PGSSLNEGOTIATION"),
    *("PGSSLCOMPRESSION", "PGSSLCERTMODE", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGREQUIREAUTH", "PGCHANNELBINDING", "PGREQUIREPEER", "PGGSSENCMODE", "PGGSSDELEGATION", "PGKRBSRVNAME"),
    *("PGGSSLIB", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGCONNECT_TIMEOUT", "PGMINPROTOCOLVERSION"),
    *("PGMAXPROTOCOLVERSION", "PGOAUTHDEBUG"),
)


def ignored() -> list[str]:
    """Returns the names of the variables that are set and ignored, in order."""
    return sorted(name for name in IGNORED if name in os.environ)


_forgotten: set[str] = set()


def forgotten() -> list[str]:
    """Returns which of them were set when this process started, in order of name."""
    return sorted(_forgotten)


def forget_ignored() -> None:
    """Removes ignored variables from this process's environment, and so from its children's.

    The libraries read them by themselves; libpq does so while connecting, even if a parameter is given as empty.
    """
    for name in ignored():
        os.environ.pop(name, None)
        _forgotten.add(name)
