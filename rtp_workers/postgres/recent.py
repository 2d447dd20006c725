"""How much came lately: counts of the last seconds or minutes, found by index, so that no whole table is read."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.postgres.connection import Connection, translated

RATE_WINDOW_S = 10

_ROWS = "select count(*) from transactions where ingested_at > now() - make_interval(secs => %(window_s)s)"
_REASONS = """
select reason, count(*) from dead_letters where first_seen_at > now() - make_interval(secs => %(window_s)s)
group by reason order by count(*) desc, reason
"""


@dataclass(frozen=True, slots=True)
class Recent:
    """What came in the last `window_s` seconds: rows, and dead letters by reason."""

    window_s: float
    rows: int
    dead_letters: int
    reasons: dict[str, int]

    @property
    def dead_letter_ratio(self) -> float:
        """The share of dead letters among rows and dead letters; 0 if nothing came."""
        total = self.rows + self.dead_letters
        return self.dead_letters / total if total else 0.0


def rows_per_s(connection: Connection) -> float:
    """Returns how fast rows arrive, averaged over `RATE_WINDOW_S` seconds."""
    return _rows(connection, RATE_WINDOW_S) / RATE_WINDOW_S


def recent(connection: Connection, window_s: float) -> Recent:
    """Counts the rows and dead letters of the last `window_s` seconds."""
    rows, reasons = _rows(connection, window_s), recent_reasons(connection, window_s)
    return Recent(window_s, rows, sum(reasons.values()), reasons)


def recent_reasons(connection: Connection, window_s: float) -> dict[str, int]:
    """Returns the dead letters of the last `window_s` seconds by reason, most frequent first."""
    with translated("count the dead letters that came lately"), connection.cursor() as cursor:
        cursor.execute(_REASONS, {"window_s": window_s})
        return dict(cursor.fetchall())


def _rows(connection: Connection, window_s: float) -> int:
    with translated("count the rows that came lately"), connection.cursor() as cursor:
        cursor.execute(_ROWS, {"window_s": window_s})
        return int(cursor.fetchall()[0][0])
