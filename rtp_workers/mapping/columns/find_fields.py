"""Decides which columns fill the optional fields. A doubtful column stays in ``attributes``: nothing is invented."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import kind_words
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.certain_fields import is_certain
from rtp_workers.mapping.columns.find_currency import is_currency
from rtp_workers.mapping.columns.findings import BY_VALUES, Candidate, Findings
from rtp_workers.mapping.columns.lone_money import is_nameless
from rtp_workers.mapping.columns.other_party import BUYERS, is_account
from rtp_workers.mapping.columns.profile import HALF, MOST, Profile
from rtp_workers.record.transaction import RULES, Kind, fields_of

FEW_ROWS, SOME_ROWS = 20, 5  # fewer rows than this show nothing about repeats, or about a cell that never changes
MAX_TEXT = 10_000  # characters, for a field without a limit
CLEARLY = 0.2  # another field's name must fit better by at least this
ALL_DIFFER = 0.999  # one repeat in a thousand cells may be a mistake in the file
UNNAMED = 0.8  # a column without a name: share of rows that must be filled, and of cells that must have letters
COUNTRIES = 0.7  # a column of countries has names in many languages, and some are unknown to us
# A choice has few different values: at most this many, or at most this share of the rows.
FEW_VALUES, FEW_OF_ROWS = 50, 0.3
RARELY_FILLED = 0.3  # if so few rows name a party, it is not the other side of the transactions
# The weight of a column's fit if its values speak against it without ruling it out.
CONSTANT_FIT, MANY_VALUES_FIT, NUMBERS_FIT = 0.7, 0.5, 0.7
LONGEST_STATE = 2  # letters of a US state's code; such a column is also called "state"
ONLY_TEXT = 0.6  # confidence in the merchant of a file without names
# Next to numbers of securities, these names mean a security, not a kind of spending.
SECURITY_NAMES = frozenset({"product", "produkt", "producto", "produto", "prodotto"})
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
FLAGS = frozenset({"y", "n", "t", "f", "0", "1", "yes", "no", "true", "false", "ja", "nein", "oui", "non", "si"})


def find_fields(found: Findings) -> None:
    """Decides the optional fields, those with the best names first. Each column is used once."""
    optional = optional_fields()
    for field in optional:
        found.take_given(field)
    decided = {*found.uses, *found.section.constants, "currency"}  # find_currency decides the currency
    wanted = [field for field in optional if field not in decided]
    options: list[tuple[float, int, str, Candidate]] = []
    for order, field in enumerate(wanted):
        fitting = [one for one in found.candidates(field, fit_of(field)) if not _names_better(one, field)]
        fitting = [one for one in fitting if is_certain(found, one, field)]
        if field == "category" and _holds_securities(found):
            fitting = [one for one in fitting if one.name.phrase not in SECURITY_NAMES]
        if field == "customer_id":
            fitting = [one for one in fitting if _is_sure_of(one) or not _all_differ(one.profile)]
            fitting = [one for one in fitting if normalise(one.profile.name).startswith(BUYERS)] or fitting
        options += [(_weight(candidate, field), -order, field, candidate) for candidate in fitting]
    for _, _, field, candidate in sorted(options, key=lambda option: (-option[0], -option[1])):
        if field not in found.uses and candidate.profile.index not in found.taken:
            found.take(field, [candidate.profile], candidate.score, candidate.why)
    _add_second_party(found)
    if is_nameless(found):
        currency = [] if found.is_asked("currency") or "currency" in found.rules else ["currency"]
        _by_values(found, [field for field in (*wanted, *currency) if field not in found.uses])


@lru_cache(maxsize=1)
def optional_fields() -> tuple[str, ...]:
    """Returns the optional fields, the strictest first: it gets a column that fits several fields equally well."""
    kinds: tuple[Kind, ...] = ("code", "choice", "party", "text")
    return tuple(
        name for kind in kinds for name in sorted(fields_of(kind), key=lambda name: RULES[name].max_length or MAX_TEXT)
    )


def _weight(candidate: Candidate, field: str) -> float:
    """Lowers the score of a merchant that is the same in every row: another text, if there is one, says more."""
    constant = field == "merchant" and candidate.profile.rows >= SOME_ROWS and len(candidate.profile.distinct) == 1
    return candidate.score * (CONSTANT_FIT if constant else 1.0)


def _holds_securities(found: Findings) -> bool:
    return any(profile.share(lambda cell: ISIN.fullmatch(cell) is not None) >= MOST for profile in found.profiles)


def _is_sure_of(candidate: Candidate) -> bool:
    """True for a known name, but not for the id of a card: some services give each payment its own."""
    return candidate.name.exact and not normalise(candidate.profile.name).startswith("card")


def _all_differ(profile: Profile) -> bool:
    """True if no customer would occur twice: then it is rather a reference of the row itself."""
    return profile.rows >= FEW_ROWS and profile.uniqueness >= ALL_DIFFER


def _names_better(candidate: Candidate, field: str) -> bool:
    """True if the name clearly means another field, and the values rule it out: numbers called payment_type."""
    role, best = vocabulary.best_role(candidate.profile.name)
    other = role in optional_fields() and role != field
    return other and best.score >= candidate.name.score + CLEARLY and not fit_of(role)(candidate.profile)


def _add_second_party(found: Findings) -> None:
    """Uses a second column for the other party where the first is empty, if the first is often empty."""
    use = found.uses.get("merchant")
    if use is None or use.why == "mapping" or found.profile(use.columns[0]).filled >= MOST:
        return
    first = found.profile(use.columns[0])
    others = [one for one in found.candidates("merchant", fit_of("merchant")) if is_certain(found, one, "merchant")]
    others = [other for other in others if other.profile.filled > first.filled] or others
    if others:
        columns = [first, others[0].profile]
        found.take("merchant", columns, use.confidence, f"{use.why}; {others[0].profile.name} where it is empty")


def _by_values(found: Findings, wanted: list[str]) -> None:
    """Decides fields without names: the currency by its codes, and the merchant if only one column has varied texts."""
    codes = [one for one in found.free() if one.currencies == 1.0 and is_currency(one) and one.filled > UNNAMED]
    if "currency" in wanted and len(codes) == 1:
        found.take("currency", codes, BY_VALUES, "values (only codes of currencies)")
    texts = [profile for profile in found.free() if _is_telling(profile, HALF)]
    texts = texts if len(texts) == 1 and _is_telling(texts[0], UNNAMED) else []
    if "merchant" in wanted and texts and texts[0].share(lambda cell: " " in cell) >= HALF:
        found.take("merchant", texts, ONLY_TEXT, "values (the only telling text)")


def _is_telling(profile: Profile, least: float) -> bool:
    """True for texts in at least this share of the rows that are neither dates, nor codes, nor a few words again."""
    return (
        profile.letters > least
        and profile.filled > least
        and profile.dates < HALF
        and profile.directions < HALF
        and profile.share(_is_code) < HALF
        and _tells(profile)
    )


def _is_code(cell: str) -> bool:
    return " " not in cell and any(char.isdigit() for char in cell)


def _tells(profile: Profile) -> bool:
    """True for texts with many different words. A few words that repeat all the time are a kind, not a name.

    So are words for what a broker's row is, however few rows there are.
    """
    if profile.share(lambda cell: normalise(cell) in kind_words()) >= HALF:
        return False
    return profile.uniqueness >= HALF or any(" " in cell for cell in profile.distinct)


def _is_plain_text(profile: Profile) -> bool:
    return bool(profile.cells) and profile.dates < HALF and not profile.is_decimal


def _country(profile: Profile) -> float:
    return 1.0 if profile.countries >= COUNTRIES else 0.0


def _choice(profile: Profile, longest: int) -> float:
    """Measures how well a column fits a choice: short texts, few of them different."""
    if not _is_plain_text(profile) or profile.longest > longest:
        return 0.0
    if _is_flag(profile) or profile.currencies >= MOST:
        return 0.0
    few = profile.rows <= FEW_ROWS or len(profile.distinct) <= max(FEW_VALUES, len(profile.cells) * FEW_OF_ROWS)
    return 1.0 if few else MANY_VALUES_FIT


def _is_flag(profile: Profile) -> bool:
    return {cell.lower() for cell in profile.distinct} <= FLAGS


def _words(profile: Profile, longest: int) -> float:
    return _choice(profile, longest) * (1.0 if profile.letters >= HALF else 0.0)


def _status(profile: Profile, longest: int) -> float:
    if profile.whole_numbers > MOST or profile.longest <= LONGEST_STATE:
        return 0.0  # US states share the name "state"
    return 1.0 if _is_flag(profile) else _choice(profile, longest)


def _party(profile: Profile, longest: int) -> float:
    if not _is_plain_text(profile) or profile.filled < RARELY_FILLED or profile.longest > longest:
        return 0.0
    return 1.0


def _text(profile: Profile, longest: int) -> float:
    if not _is_plain_text(profile) or profile.longest > longest or profile.directions >= MOST:
        return 0.0
    if _is_flag(profile) or profile.share(is_account) >= HALF:
        return 0.0
    # A merchant may be given as a code, but a column of numbers needs a strong name to count as one.
    return 1.0 if profile.letters >= HALF else NUMBERS_FIT


BY_KIND: dict[str, Callable[[Profile, int], float]] = {"choice": _choice, "party": _party, "text": _text}
# Fields about which more is known than their kind.
BY_FIELD: dict[str, Callable[[Profile, int], float]] = {"payment_method": _words, "status": _status}
CODES: dict[str, Callable[[Profile], float]] = {"currency": is_currency, "country": _country}


def fit_of(field: str) -> Callable[[Profile], float]:
    """Returns a function that measures how well a column's values fit a text field, 0..1."""
    rule = RULES[field]
    if rule.pattern is not None:
        pattern = re.compile(rule.pattern)
        return CODES.get(
            field, lambda profile: float(profile.share(lambda cell: bool(pattern.fullmatch(cell))) >= MOST)
        )
    fit = BY_FIELD.get(field) or BY_KIND[rule.kind]
    return lambda profile: fit(profile, rule.max_length or MAX_TEXT)
