"""Decides which column identifies a transaction, or that ids are derived from the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtp_workers.counted import counted
from rtp_workers.mapping.cells.names import compact, normalise
from rtp_workers.mapping.cells.words import looks_like_balance_line
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.find_quantity import WORDS_OF_A_TOTAL
from rtp_workers.mapping.columns.find_volatile import find_volatile
from rtp_workers.mapping.columns.findings import BY_VALUES, GOOD_NAME, STRONG_NAME, Candidate, Findings
from rtp_workers.mapping.columns.profile import MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.toml_text import quoted
from rtp_workers.record.transaction import RULES

MAX_ID_LENGTH = RULES["transaction_id"].max_length or 0
MAX_ROW_TEXT = 160  # characters of a row that a question shows
SHORT_COUNTER = 6  # digits
# If the vocabulary knows only a part of a name, the name must contain one of these words to count as an id.
ID_WORDS = frozenset(
    {"id", "ids", "no", "nr", "num", "number", "ref", "reference", "code", "key", "uuid", "guid", "hash", "identifier"}
    | {"nummer", "numero", "codigo", "codice", "referenz", "referencia", "reference", "referentie", "kenmerk", "rif"}
    | {"azonosito", "szam", "numer", "cislo", "номер", "ид", "referens", "n", "txid", "kode", "invoice", "receipt"}
    | {"ma"}
)
# What banks write where there is no reference (SEPA and SWIFT among them). The next row without one would collide.
NO_REFERENCE = frozenset({"notprovided", "nonref", "na", "none", "nil", "null", "unknown", "missing"})
CLEAR_PART = 0.65  # a strong entry with other words around it that do not spoil it
REFERENCE_WORDS = frozenset(
    {"ref", "reference", "referenz", "referenznummer", "referencia", "riferimento", "referentie", "kenmerk", "number"}
    | {
        "no",
        "numero",
        "de",
        "documento",
        "document",
        "referentienummer",
        "referenciaszam",
        "hivatkozasi",
        "szam",
        "rrn",
        "cro",
        "trn",
        "piece",
    }
)
# An id with a clear name may repeat (the ledger handles repeats). One with a weaker name must almost never repeat.
# Each pair: the lowest score of the name, and how unique the column must be at that score.
LEAST_UNIQUE = ((0.95, 0.5), (0.7, 0.95), (0.0, 0.98))
UNIQUE = 0.999  # one repeat in a thousand cells may be a mistake in the file
NEARLY_AS_GOOD = 0.2  # a unique column wins over a better name that is ahead by no more than this
# Beginnings of words for a document that may have several lines, each a row of its own.
DOCUMENTS = (
    *("order", "invoice", "receipt", "bill", "cart", "basket", "sale", "ticket", "voucher", "booking", "bestell"),
    *("auftrag", "rechnung", "beleg", "bon", "commande", "facture", "pedido", "factura", "venta", "orden", "fatura"),
    *("venda", "ordine", "fattura", "scontrino", "factuur", "kassabon", "zamowien", "faktur", "paragon", "objednav"),
    *("ordre", "kvitto", "kvittering", "siparis", "fis", "pesanan", "nota", "struk", "hoa don", "don hang"),
    *("заказ", "чек", "счет", "замовлен", "订单", "訂單", "发票", "小票", "注文", "伝票", "請求", "주문", "영수증"),
)
ACCOUNTS = ("account", "acct", "konto", "cuenta", "compte", "conto", "rekening", "conta", "iban", "счет")
LEAST_REPEATED = 2  # documents with several lines
FEWEST_DIFFERENT = 5  # rows; fewer may differ in a column by chance
LEAST_NUMBERED = 0.1  # a document has at most ten rows, on average
TWO_COLUMNS = 0.9  # two columns together are slightly less certain than one


def find_id(found: Findings, *, canonical_name: bool) -> None:
    """Decides the id: a column that is nearly unique, account and number together, or derived from the row.

    Args:
        canonical_name: True if the file has a column called exactly ``transaction_id``, which is used as it is.
    """
    found.rules["id_rule"] = "columns"
    if found.take_given("transaction_id"):
        return
    if found.section.id == "derived" or found.section.id_columns:
        found.rules["id_rule"] = "derived"
        return
    rows = _rows_of_transactions(found)
    if canonical_name:
        found.take("transaction_id", [found.profile("transaction_id")], 1.0, "name (the field's own)")
        _ask_about_repeats(found, found.profile("transaction_id"), rows)
    elif candidates := found.candidates("transaction_id", _id_fit(found, rows)):
        best = _most_unique(candidates)
        if found.is_remembered and best.profile.filled < 1.0:  # another one that every row has is surer
            best = next((one for one in candidates if _is_complete(one.profile)), best)
        if best.profile.filled < 1.0 and (first := _first_of_its_kind(found, rows)) is not None:
            best = Candidate(first, BY_VALUES, best.name)
        if _take_with_account(found, best, rows):
            return
        found.take("transaction_id", [best.profile], best.score, best.why)
        _ask_about_repeats(found, best.profile, rows)
        _note_counter(found, best.profile)
    elif not _numbered(found):
        found.rules["id_rule"] = "derived"
        found.notes.append("no column identifies a transaction: ids are derived from the row's own cells")
        _ask_about_totals(found, rows)
        _ask_about_copies(found, rows)
        if "customer_id" not in found.uses and found.section.name == "":
            found.notes.append(
                "no column names the account: give the files of each account their own section, "
                "or identical rows of two accounts count as one"
            )


def _is_complete(profile: Profile) -> bool:
    return profile.filled == 1.0 and profile.uniqueness == 1.0


def _first_of_its_kind(found: Findings, rows: Sequence[int]) -> Profile | None:
    """Returns the first column of the file if it is called an id and differs in each row."""
    first = found.profiles[0]
    cells = [first.column[at] for at in rows]
    named = first.index not in found.taken and set(normalise(first.name).split()) & ID_WORDS
    return first if named and all(cells) and len(set(cells)) == len(cells) else None


def _most_unique(candidates: list[Candidate]) -> Candidate:
    best = candidates[0]
    if best.profile.uniqueness >= UNIQUE:
        return best
    return next(
        (c for c in candidates[1:] if c.profile.uniqueness >= UNIQUE and c.score >= best.score - NEARLY_AS_GOOD), best
    )


def _id_fit(found: Findings, rows: Sequence[int]) -> Callable[[Profile], float]:
    """Returns the test of an id column: every row with a date and an amount must have one, balance lines need not."""

    def fit(profile: Profile) -> float:
        if not _speaks_of_ids(profile.name):
            return 0.0
        usual = Profile(profile.name, profile.index, [profile.column[at] for at in rows]) if rows else profile
        has_holes = found.is_remembered and usual.filled < 1.0  # a reference that some transactions lack
        if has_holes and vocabulary.score(profile.name, "transaction_id").score < STRONG_NAME:
            return 0.0
        return _is_id(usual)

    return fit


def _rows_of_transactions(found: Findings) -> list[int]:
    """Returns the rows with a date and an amount that are no balance lines. The others are not loaded."""
    dated = _columns_of(found, "occurred_at", "date")
    counted = _columns_of(found, "amount", "debit", "credit")
    rows = range(found.profiles[0].rows) if found.profiles else range(0)
    texts = [one.column for one in found.profiles if one.letters > 0 and one.numbers < NEARLY_ALL]
    return [
        at
        for at in rows
        if not any(looks_like_balance_line(column[at]) for column in texts)
        and all(column[at] for column in dated)
        and (not counted or any(column[at] for column in counted))
    ]


def _speaks_of_ids(name: str) -> bool:
    """True if the name means the id of a transaction, with words around it that do not change this.

    ``transaction duration`` has no word for an id. A reference alone is often the payer's own, and the next payment
    repeats it.
    """
    score = vocabulary.score(name, "transaction_id")
    if score.score < STRONG_NAME and set(score.phrase.split()) <= REFERENCE_WORDS:
        return False
    if not score.exact:
        words = set(normalise(name).split())
        return score.score >= CLEAR_PART and (bool(words & ID_WORDS) or any(char in name for char in "号號番번"))
    return score.score >= GOOD_NAME


def _is_id(profile: Profile) -> float:
    name = vocabulary.score(profile.name, "transaction_id")
    least = next(unique for weight, unique in LEAST_UNIQUE if name.score >= weight)
    if profile.filled < NEARLY_ALL or profile.uniqueness < least or profile.longest > MAX_ID_LENGTH:
        return 0.0
    if (profile.dates >= MOST and profile.whole_numbers < MOST) or profile.is_decimal:
        return 0.0
    if any(map(_is_no_reference, profile.distinct)):
        return 0.0
    has_digit = profile.share(_has_digit)
    one_word = profile.share(lambda cell: " " not in cell)
    if name.score < STRONG_NAME and min(has_digit, one_word) < MOST:
        return 0.0
    return 1.0


def _is_no_reference(cell: str) -> bool:
    joined = compact(cell)
    return joined in NO_REFERENCE or (len(joined) > 1 and not joined.strip("0"))


def _ask_about_repeats(found: Findings, profile: Profile, rows: Sequence[int]) -> None:
    """Asks if an id occurs twice with different content: such a column does not identify a row."""
    if len(profile.distinct) == len(profile.cells):
        return
    pair = _conflicting_rows(found, profile, rows)
    if pair is None:
        cells = [profile.column[at] for at in rows if profile.column[at]]
        if repeated := len(cells) - len(set(cells)):
            found.notes.append(
                f"{profile.name} repeats in {repeated} of {len(cells)} rows, which are equal: these are duplicates"
            )
    elif found.section.id != "columns":
        found.ask(
            "transaction_id",
            f"{profile.name} appears twice with different content, so it does not identify a row:\n"
            f"    {_row_text(found, pair[0])}\n    {_row_text(found, pair[1])}",
            'id = "derived"  # every row is a separate transaction',
            *(
                f"# columns.transaction_id = {quoted([one.name])}  # it differs in each row"
                for one in found.free()
                if _is_complete(one) and set(normalise(one.name).split()) & ID_WORDS
            ),
            f"# columns.transaction_id = {quoted([profile.name])}  # only one of them is stored",
            kind="id",
        )


def _ask_about_totals(found: Findings, rows: Sequence[int]) -> None:
    """Asks if each line of an order has the same amount: that of the whole order counts only once."""
    counted = _columns_of(found, "amount")
    named = counted and WORDS_OF_A_TOTAL & set(normalise(found.uses["amount"].columns[0]).split())
    for profile in found.profiles if named and not found.section.id else ():
        documents = _repeated(found, profile, rows) if _names_document(profile) and _is_number_of(profile) else []
        if len(documents) < LEAST_REPEATED or any(_differ(rows, counted[0]) for rows in documents):
            continue
        if any(_differ(rows, other.column) for rows in documents for other in found.free()):
            found.ask(
                "transaction_id",
                f"{profile.name} repeats with the same {found.uses['amount'].columns[0]}, which may be that of the "
                "whole document",
                f"# columns.transaction_id = {quoted([profile.name])}  # only one row of each is stored",
                '# id = "derived"  # every row is a separate transaction',
                kind="id",
            )
            return


def _ask_about_copies(found: Findings, rows: Sequence[int]) -> None:
    """Asks if some rows are equal, also in a column whose cells all differ otherwise: these rows may be copies."""
    if found.section.id or found.is_asked("transaction_id"):
        return
    different = {tuple(one.column[at] for one in found.profiles): at for at in rows}
    if len(different) == len(rows) or len(different) < FEWEST_DIFFERENT:
        return
    used = {name for role in ("amount", "debit", "credit") if role in found.uses for name in found.uses[role].columns}
    for profile in found.profiles:
        tells = profile.filled == 1.0 and profile.dates < MOST and not profile.is_decimal and profile.name not in used
        if not tells or not _may_number_rows(profile) or profile.longest > MAX_ID_LENGTH:
            continue
        if len({profile.column[at] for at in different.values()}) == len(different):
            found.ask(
                "transaction_id",
                f"{counted(len(rows) - len(different), 'row is a copy', 'rows are copies')} of others in all columns, "
                f"{profile.name} too, which differs in all other rows",
                f"# columns.transaction_id = {quoted([profile.name])}  # copies are stored once",
                '# id = "derived"  # every row is a separate transaction',
                kind="id",
            )
            return


def _may_number_rows(profile: Profile) -> bool:
    """True for numbers and codes whose name has a word for an id, or means the number of a row."""
    words = set(normalise(profile.name).split())
    named = words & ID_WORDS or vocabulary.best_role(profile.name)[0] in ("transaction_id", "sequence", "index")
    return bool(named) and profile.share(_has_digit) >= MOST


def _has_digit(cell: str) -> bool:
    return any(char.isdigit() for char in cell)


def _names_document(profile: Profile) -> bool:
    words = normalise(profile.name).split()
    return any(word.startswith(DOCUMENTS) for word in (*words, " ".join(words)))


def _is_number_of(profile: Profile) -> bool:
    """True for a column that tells documents apart: most have one row, or a few."""
    return profile.filled >= NEARLY_ALL and profile.uniqueness >= LEAST_NUMBERED and profile.dates < MOST


def _repeated(found: Findings, profile: Profile, rows: Sequence[int]) -> list[list[int]]:
    """Returns the rows of each document that has several, if those are always of the same time."""
    lines: dict[str, list[int]] = {}
    for at in rows:
        lines.setdefault(profile.column[at], []).append(at)
    documents = [rows for number, rows in lines.items() if number and len(rows) > 1]
    times = _columns_of(found, "occurred_at", "date", "time")
    return [] if any(_differ(rows, column) for rows in documents for column in times) else documents


def _differ(rows: list[int], column: Sequence[str]) -> bool:
    return len({column[at] for at in rows}) > 1


def _columns_of(found: Findings, *roles: str) -> list[Sequence[str]]:
    return [found.profile(name).column for role in roles if role in found.uses for name in found.uses[role].columns]


def _conflicting_rows(found: Findings, profile: Profile, rows: Sequence[int]) -> tuple[int, int] | None:
    """Returns two rows that share an id and differ in a column that is not volatile, or None."""
    volatile = {*find_volatile(found), profile.name}
    others = [other.column for other in found.profiles if other.name not in volatile]
    first: dict[str, int] = {}
    for at in rows:
        cell = profile.column[at]
        if not cell:
            continue
        before = first.setdefault(cell, at)
        if before != at and any(column[before] != column[at] for column in others):
            return before, at
    return None


def _row_text(found: Findings, at: int) -> str:
    text = " | ".join(profile.column[at] for profile in found.profiles)
    return text if len(text) <= MAX_ROW_TEXT else text[:MAX_ROW_TEXT] + "..."


def _note_counter(found: Findings, profile: Profile) -> None:
    if profile.whole_numbers == 1.0 and profile.longest <= SHORT_COUNTER:
        found.notes.append(
            f"{profile.name} is a short counter, which may collide with that of another source; "
            'id_prefix = "name-" prevents this'
        )


def _take_with_account(found: Findings, number: Candidate, rows: Sequence[int]) -> bool:
    """Takes account and number together if numbers repeat, but never within an account: each account counts its own."""
    account = found.uses.get("customer_id")
    if account is None or number.profile.whole_numbers < 1.0:
        return False
    owner = found.profile(account.columns[0])
    if not any(word.startswith(ACCOUNTS) for word in normalise(owner.name).split()):
        return False
    if _conflicting_rows(found, number.profile, rows) is None:
        return False
    pairs = [(owner.column[at], number.profile.column[at]) for at in rows]
    if len(set(pairs)) < len(pairs) or not all(map(all, pairs)):
        return False
    return _take_both(found, owner, number)


def _numbered(found: Findings) -> bool:
    """Takes account and sequence number together if the number is unique only within its account."""
    numbers = found.candidates(
        "sequence", lambda profile: float(profile.filled > NEARLY_ALL and profile.uniqueness > NEARLY_ALL)
    )
    account = found.uses.get("customer_id")
    if not numbers or account is None:
        return False
    return _take_both(found, found.profile(account.columns[0]), numbers[0])


def _take_both(found: Findings, account: Profile, number: Candidate) -> bool:
    if account.longest + number.profile.longest + 1 > MAX_ID_LENGTH:
        return False
    why = f"{number.why}, unique within {normalise(account.name)}"
    found.take("transaction_id", [account, number.profile], number.score * TWO_COLUMNS, why)
    return True
