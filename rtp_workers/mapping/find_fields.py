"""Which columns are the optional fields and the id. An unsure one stays in ``attributes``: nothing is invented."""

from __future__ import annotations

from collections.abc import Callable

from rtp_workers.mapping import vocabulary
from rtp_workers.mapping.findings import BY_VALUES, Candidate, Findings
from rtp_workers.mapping.names import normalise
from rtp_workers.mapping.profile import Profile
from rtp_workers.record.transaction import FIELDS

MAX_LENGTH = {field.name: field.rule.max_length or 0 for field in FIELDS}
FEW_ROWS, SOME_ROWS = 20, 5
FLAGS = frozenset({"y", "n", "t", "f", "0", "1", "yes", "no", "true", "false", "ja", "nein", "oui", "non", "si"})
# Words that say of which of several amounts a column speaks.
# Words that a name must have to be taken for an id when the vocabulary knows only a part of it.
ID_WORDS = frozenset(
    {"id", "ids", "no", "nr", "num", "number", "ref", "reference", "code", "key", "uuid", "guid", "hash", "identifier"}
    | {"nummer", "numero", "codigo", "codice", "referenz", "referencia", "reference", "referentie", "kenmerk", "rif"}
    | {"azonosito", "szam", "numer", "cislo", "номер", "ид", "referens", "n", "txid", "kode", "invoice", "receipt"}
)
QUALIFIERS = frozenset(
    {"native", "settlement", "presentment", "origin", "original", "destination", "source", "target", "foreign"}
    | {"billing", "instructed", "fiat", "sent", "received", "buy", "sell", "from", "to", "quote", "base", "counter"}
    | {"transaction", "account", "local"}
)
# An id by a telling name may repeat (the ledger sorts repeats out); by a weaker name it must hardly ever.
LEAST_UNIQUE = ((0.95, 0.5), (0.7, 0.95), (0.0, 0.98))
OPTIONAL = ("currency", "country", "payment_method", "category", "status", "customer_id", "merchant")


def find_fields(found: Findings) -> None:
    """Decides the optional fields, best names first, each column once."""
    for field in OPTIONAL:
        found.take_given(field)
    wanted = [field for field in OPTIONAL if field not in found.uses and field not in found.section.constants]
    options: list[tuple[float, int, str, Candidate]] = []
    for order, field in enumerate(wanted):
        fitting = [one for one in found.candidates(field, FITS[field]) if not _names_better(one, field)]
        if field == "customer_id":
            fitting = [one for one in fitting if one.name.exact or not _all_differ(one.profile)]
        if field == "currency":
            fitting = _of_the_amount(found, fitting)
        options += [(_weight(candidate, field), -order, field, candidate) for candidate in fitting]
    for _, _, field, candidate in sorted(options, key=lambda option: (-option[0], -option[1])):
        if field not in found.uses and candidate.profile.index not in found.taken:
            found.take(field, [candidate.profile], candidate.score, candidate.why)
    _add_description(found)
    if all(profile.name.startswith("column ") for profile in found.profiles):
        _by_values(found, [field for field in wanted if field not in found.uses])


def _weight(candidate: Candidate, field: str) -> float:
    """A merchant that is the same in every row says little; another text, where there is one, says more."""
    constant = field == "merchant" and candidate.profile.rows >= SOME_ROWS and len(candidate.profile.distinct) == 1
    return candidate.score * (0.7 if constant else 1.0)


def _all_differ(profile: Profile) -> bool:
    """True where no customer would come twice: rather a reference of the row's own."""
    return profile.rows >= FEW_ROWS and profile.uniqueness >= 0.999


def _names_better(candidate: Candidate, field: str) -> bool:
    """True where the name speaks clearly for another field that the values refute: a number called payment_type."""
    role, best = vocabulary.best_role(candidate.profile.name)
    other = role in FITS and role != field and best.score >= candidate.name.score + 0.2
    return other and not FITS[role](candidate.profile)


def _of_the_amount(found: Findings, candidates: list[Candidate]) -> list[Candidate]:
    """Keeps currencies that may be the amount's: ``Native Currency`` goes with ``Native Amount``, if there is one."""
    columns = [
        name for role in ("amount", "debit", "credit") if role in found.uses for name in found.uses[role].columns
    ]
    own = {frozenset(_qualifiers(name)) for name in columns}
    others = {
        frozenset(_qualifiers(profile.name))
        for profile in found.profiles
        if profile.numbers >= 0.9 and profile.name not in columns
    } - own
    kept = [one for one in candidates if (words := _qualifiers(one.profile.name)) in own or words not in others]
    same = [one for one in kept if (words := _qualifiers(one.profile.name)) and words in own]
    places = [found.profile(name).index for name in columns]
    # Of equals, the one beside the amount; a currency rather follows it.
    return sorted(same or kept, key=lambda one: min((abs(one.profile.index - at - 0.6) for at in places), default=0))


def _qualifiers(name: str) -> frozenset[str]:
    return frozenset(normalise(name).split()) & QUALIFIERS


def _add_description(found: Findings) -> None:
    """Lets a description stand in where the merchant's own column is often empty."""
    use = found.uses.get("merchant")
    if use is None or use.why == "mapping" or found.profile(use.columns[0]).filled >= 0.9:
        return
    others = [c for c in found.candidates("merchant", _text) if c.profile.filled > found.profile(use.columns[0]).filled]
    if not others:
        others = found.candidates("merchant", _text)
    if others:
        columns = [found.profile(use.columns[0]), others[0].profile]
        found.take("merchant", columns, use.confidence, f"{use.why}; {others[0].profile.name} where it is empty")


def _by_values(found: Findings, wanted: list[str]) -> None:
    """Without names: codes that are currencies, and the one column of telling text, the other side as it is called."""
    codes = [profile for profile in found.free() if profile.currencies == 1.0 and profile.filled > 0.8]
    if "currency" in wanted and len(codes) == 1:
        found.take("currency", codes, BY_VALUES, "values (only codes of currencies)")
    texts = [
        profile
        for profile in found.free()
        if profile.letters > 0.8
        and profile.filled > 0.8
        and profile.dates < 0.5
        and profile.directions < 0.5
        and profile.share(_is_code) < 0.5
        and _tells(profile)
    ]
    if "merchant" in wanted and texts:
        best = max(texts, key=lambda profile: (profile.uniqueness, sum(map(len, profile.some)) / len(profile.some)))
        found.take("merchant", [best], 0.6, "values (the most telling text)")


def _is_code(cell: str) -> bool:
    return " " not in cell and any(char.isdigit() for char in cell)


def _tells(profile: Profile) -> bool:
    """True for texts in which words vary; a handful of words over and over is a kind, not a name."""
    return profile.uniqueness >= 0.5 or any(" " in cell for cell in profile.distinct)


def _is_plain_text(profile: Profile) -> bool:
    return bool(profile.cells) and profile.dates < 0.5 and not _is_decimal(profile)


def _is_decimal(profile: Profile) -> bool:
    return profile.numbers >= 0.9 and profile.share(_has_fraction) >= 0.3


def _has_fraction(cell: str) -> bool:
    """True for 12.50; an id that a program made a float, 17850.0, is still one."""
    return any(mark in cell and cell.rpartition(mark)[2].strip("0") != "" for mark in ".,")


def _currency(profile: Profile) -> float:
    return 1.0 if profile.currencies >= 0.9 and profile.filled > 0.2 else 0.0


def _country(profile: Profile) -> float:
    return 1.0 if profile.countries >= 0.7 else 0.0


def _choice(profile: Profile, longest: int) -> float:
    """Fits a column with few different short texts."""
    if not _is_plain_text(profile) or profile.longest > longest:
        return 0.0
    if _is_flag(profile):
        return 0.0
    few = profile.rows <= FEW_ROWS or len(profile.distinct) <= max(50, len(profile.cells) * 0.3)
    return 1.0 if few else 0.5


def _is_flag(profile: Profile) -> bool:
    return {cell.lower() for cell in profile.distinct} <= FLAGS


def _payment_method(profile: Profile) -> float:
    return _choice(profile, MAX_LENGTH["payment_method"]) * (1.0 if profile.letters >= 0.5 else 0.0)


def _status(profile: Profile) -> float:
    if profile.whole_numbers > 0.9 or profile.longest <= 2:
        return 0.0  # US states share the name "state"
    return 1.0 if _is_flag(profile) else _choice(profile, MAX_LENGTH["status"])


def _category(profile: Profile) -> float:
    return _choice(profile, MAX_LENGTH["category"])


def _customer(profile: Profile) -> float:
    if not _is_plain_text(profile) or profile.filled < 0.3 or profile.longest > MAX_LENGTH["customer_id"]:
        return 0.0
    return 1.0


def _text(profile: Profile) -> float:
    if not _is_plain_text(profile) or profile.longest > MAX_LENGTH["merchant"] or profile.directions >= 0.9:
        return 0.0
    if _is_flag(profile):
        return 0.0
    # A merchant may be named by a code, but a column of numbers needs a strong name for it.
    return 1.0 if profile.letters >= 0.5 else 0.7


FITS: dict[str, Callable[[Profile], float]] = {
    "currency": _currency,
    "country": _country,
    "payment_method": _payment_method,
    "category": _category,
    "status": _status,
    "customer_id": _customer,
    "merchant": _text,
}


def find_id(found: Findings, *, canonical_name: bool) -> None:
    """Decides the id: a column that is nearly unique, account and number together, or derived from the row.

    Args:
        canonical_name: the file has a column called exactly ``transaction_id``, which is taken as it is.
    """
    if found.take_given("transaction_id"):
        found.rules["id_rule"] = "columns"
        return
    if found.section.id == "derived":
        found.rules["id_rule"] = "derived"
        return
    if canonical_name:
        found.take("transaction_id", [found.profile("transaction_id")], 1.0, "name (the field's own)")
    elif candidates := found.candidates("transaction_id", _id_fit(found)):
        best = _most_unique(candidates)
        found.take("transaction_id", [best.profile], best.score, best.why)
        _note_repeats(found, best.profile)
    elif not _numbered(found):
        found.rules["id_rule"] = "derived"
        found.notes.append("no column identifies a transaction: ids are derived from the row's own cells")
        if "customer_id" not in found.uses and found.section.name == "":
            found.notes.append(
                "no column names the account: give each account's files a section of their own, "
                "or equal rows of two accounts count as one"
            )
        return
    found.rules["id_rule"] = "columns"


def _most_unique(candidates: list[Candidate]) -> Candidate:
    best = candidates[0]
    if best.profile.uniqueness >= 0.999:
        return best
    return next((c for c in candidates[1:] if c.profile.uniqueness >= 0.999 and c.score >= best.score - 0.2), best)


def _id_fit(found: Findings) -> Callable[[Profile], float]:
    """Returns the fit of an id: every row that has a date and an amount must have one, balance lines need not."""
    needed = [
        found.profile(found.uses[role].columns[0]).column
        for role in ("occurred_at", "date", "amount")
        if role in found.uses
    ]
    places = [at for at, cells in enumerate(zip(*needed, strict=True)) if all(cells)] if needed else []

    def fit(profile: Profile) -> float:
        if not _speaks_of_ids(profile.name):
            return 0.0
        usual = Profile(profile.name, profile.index, [profile.column[at] for at in places]) if places else profile
        return _is_id(usual)

    return fit


def _speaks_of_ids(name: str) -> bool:
    """False for ``transaction duration``: a part of such a name is an entry, but none of its words means an id."""
    score = vocabulary.score(name, "transaction_id")
    words = set(normalise(name).split())
    return score.exact or bool(words & ID_WORDS) or any(char in name for char in "号號番번")


def _is_id(profile: Profile) -> float:
    name = vocabulary.score(profile.name, "transaction_id")
    least = next(unique for weight, unique in LEAST_UNIQUE if name.score >= weight)
    if profile.filled < 0.95 or profile.uniqueness < least or profile.longest > MAX_LENGTH["transaction_id"]:
        return 0.0
    if (profile.dates >= 0.9 and profile.whole_numbers < 0.9) or _is_decimal(profile):
        return 0.0
    has_digit = profile.share(lambda cell: any(char.isdigit() for char in cell))
    one_word = profile.share(lambda cell: " " not in cell)
    if name.score < 0.95 and min(has_digit, one_word) < 0.9:
        return 0.0
    return 1.0


def _note_repeats(found: Findings, profile: Profile) -> None:
    repeated = len(profile.cells) - len(profile.distinct)
    if repeated:
        found.notes.append(
            f"{profile.name} repeats in {repeated} of {len(profile.cells)} rows: such a row is a duplicate, "
            'or a dead letter where its content differs; id = "derived" gives every row its own id'
        )
    if profile.whole_numbers == 1.0 and profile.longest <= 6:
        found.notes.append(
            f"{profile.name} is a short counter: another file's counter would collide with it; "
            'id_prefix = "name-" keeps them apart'
        )


def _numbered(found: Findings) -> bool:
    """Takes account and sequence number together where the number alone is unique only within the account."""
    numbers = found.candidates("sequence", lambda profile: float(profile.filled > 0.95 and profile.uniqueness > 0.95))
    account = found.uses.get("customer_id")
    if not numbers or account is None:
        return False
    number = numbers[0]
    parts = [found.profile(account.columns[0]), number.profile]
    if parts[0].longest + number.profile.longest + 1 > MAX_LENGTH["transaction_id"]:
        return False
    found.take(
        "transaction_id", parts, number.score * 0.9, f"{number.why}, unique within {normalise(account.columns[0])}"
    )
    return True
