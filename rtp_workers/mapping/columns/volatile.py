"""Which columns of a file change from one export of the same transactions to the next: they are no part of an id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.plan import FilePlan

# The whole name, or its last words: "account balance", "saldo po operacji".
BALANCES = (
    "balance", "running balance", "account balance", "balance after", "new balance", "available balance",
    "ledger balance", "closing balance", "running total", "balance amount", "kontostand", "saldo", "kontosaldo",
    "saldo nach buchung", "saldo po operacji", "saldo po transakcji", "saldo na operacji", "saldo contable",
    "saldo disponible", "saldo final", "saldo apos", "solde", "nouveau solde", "solde apres operation", "zustatek",
    "zostatok", "egyenleg", "bakiye", "stan konta", "stanje", "sold", "saldi", "saldo efter", "balans", "余额", "結餘",
    "结余", "残高", "잔액", "остаток", "баланс",
)  # fmt: skip
STATUSES = (
    "status",
    "state",
    "booking status",
    "transaction status",
    "buchungsstatus",
    "statut",
    "estado",
    "stato",
    "状态",
)
EXPORTS = (
    "export", "exported", "export date", "exported at", "exported on", "export time", "downloaded", "download date",
    "download time", "generated", "generated at", "generated on", "report date", "report time", "printed", "print date",
    "extract date", "extraction date", "statement date", "as of", "as of date", "last updated", "updated at",
    "last modified", "modified at", "exportdatum", "abrufdatum", "erstellt am", "date export", "date d export",
)  # fmt: skip
ROW_NUMBERS = (
    "", "no", "nr", "num", "number", "row", "row no", "row number", "row id", "line", "line no", "line number", "index",
    "s no", "sl no", "sr no", "sno", "srno", "serial no", "seq", "sequence", "lfd nr", "laufende nummer", "lp", "poz",
    "pos", "item", "unnamed 0", "序号", "番号", "번호",
)  # fmt: skip


def volatile_columns(plan: FilePlan, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Returns running balances, statuses, export stamps and row numbers, in file order.

    What time and amount are read from is never left out.

    Args:
        plan: the file's.
        rows: its first rows, for telling a row number from a number that means something.
    """
    needed = {name for role, use in plan.uses.items() if role not in ("status", "attributes") for name in use.columns}
    statuses = set(plan.uses["status"].columns) if "status" in plan.uses else set()
    found = []
    for at, name in enumerate(plan.dialect.columns):
        if name in needed:
            continue
        words = normalise(name)
        by_name = words in BALANCES or words in STATUSES or words in EXPORTS
        numbered = (words in ROW_NUMBERS or not words) and _counts_up([row[at] for row in rows if len(row) > at])
        if name in statuses or by_name or numbered:
            found.append(name)
    return tuple(found)


def _counts_up(cells: Sequence[str]) -> bool:
    """Tells whether the cells number the rows, up or down, by one."""
    numbers = [int(cell) for cell in cells if cell.strip().isascii() and cell.strip().isdigit()]
    if len(numbers) < max(2, len(cells)):
        return False
    steps = {after - before for before, after in pairwise(numbers)}
    return steps in ({1}, {-1})
