"""Asks about a column that only marks the rows of one side: ``is_income``, or a kind that is a refund in some rows."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import ENOUGH, Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.toml_text import quoted, quoted_list

SIDES = ("debit", "credit")
SET = frozenset({"1", "1.0", "on", "x", "y", "yes", "t", "true", "si", "s", "ja", "j", "oui", "o", "sim", "v", "✓"})
REFUNDS = frozenset(
    {"refund", "refunds", "refunded", "reversal", "chargeback", "erstattung", "remboursement", "reembolso", "estorno"}
    | {
        "return",
        "returns",
        "retoure",
        "retour",
        "devolucao",
        "devolucion",
        "rimborso",
        "terugbetaling",
        "退款",
        "返金",
        "возврат",
    }
)
FEW_KINDS = 6
# Whether it has been paid, what a total includes, or whether somebody has opted in.
NO_FLAG_WORDS = frozenset(
    {"amount", "paid", "full", "included", "fee", "fees", "tax", "total", "opt", "tribute", "honor", "gift"}
)
NOT_SET = frozenset({"0", "0.0", "off", "n", "no", "f", "false", "nein", "non", "nao", "não"})


def ask_about_flag(found: Findings) -> bool:
    """Asks if the amounts have no sign and a flag says which of them are on one side."""
    for profile in found.free():
        sides = [side for side in SIDES if vocabulary.score(profile.name, side).score >= ENOUGH]
        if len(sides) != 1 or set(normalise(profile.name).split()) & NO_FLAG_WORDS or not _is_flag(profile):
            continue
        other = SIDES[1 - SIDES.index(sides[0])]
        marked = sorted(cell for cell in profile.distinct if cell.lower() in SET)
        rest = sorted({cell for cell in profile.column if cell.lower() not in SET})
        found.ask(
            "amount",
            f"the amounts have no sign; {profile.name} seems to mark those that are {sides[0]}s",
            f"columns.direction = {quoted([profile.name])}",
            f"{sides[0]}_words = {quoted_list(marked)}",
            f"{other}_words = {quoted_list(rest)}",
            '# sign = "as_is"  # keep the amounts as they are',
        )
        return True
    return False


def ask_about_refunds(found: Findings) -> bool:
    """Asks if the amounts have no sign, but some are refunds: they go the other way than the rest.

    The kind of an event in a topic is not its row's: an event says what happened to a payment, not what was paid.
    """
    for profile in found.free():
        if isinstance(profile.name, vocabulary.DocumentPath):
            continue
        refunds = sorted(cell for cell in profile.distinct if normalise(cell) in REFUNDS)
        others = sorted(cell for cell in profile.distinct if cell not in refunds)
        if refunds and others and len(profile.distinct) <= FEW_KINDS and _says_kind(profile.name):
            found.ask(
                "amount",
                f"the amounts have no sign; {profile.name} says {', '.join(refunds)} in some rows",
                f"# columns.direction = {quoted([profile.name])}",
                f"# credit_words = {quoted_list(others)}",
                f"# debit_words = {quoted_list(refunds)}  # or the other way round, if you are the buyer",
                '# sign = "as_is"  # keep the amounts as they are',
            )
            return True
    return False


def _says_kind(name: str) -> bool:
    return vocabulary.score(name, "direction").score >= ENOUGH


def _is_flag(profile: Profile) -> bool:
    cells = {cell.lower() for cell in profile.column}
    return bool(cells & SET) and bool(cells - SET) and cells <= SET | NOT_SET | {""}
