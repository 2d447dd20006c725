"""Which column says whether money comes or goes, where the amounts carry no sign of their own."""

from __future__ import annotations

from rtp_workers.mapping import amounts, vocabulary
from rtp_workers.mapping.findings import BY_VALUES, Findings, quoted
from rtp_workers.mapping.names import normalise
from rtp_workers.mapping.profile import Profile
from rtp_workers.mapping.words import direction_codes, direction_views, direction_words

SIDES = frozenset({"debit", "credit"})
AS_IS = '# sign = "as_is"  # where it does not'
FEW_WORDS = 12
CONTRADICTED = 0.9


def find_direction(found: Findings, amount: Profile) -> None:
    """Decides where the sign of the amount comes from; asks where words speak of it and are not understood."""
    if found.section.sign is not None and "direction" not in found.section.columns:
        found.rules["sign"] = found.section.sign
        return
    given = found.take_given("direction")
    if not given and not _guess_direction(found, amount):
        return
    found.rules["sign"] = "direction"


def _guess_direction(found: Findings, amount: Profile) -> bool:
    named = found.candidates("direction", lambda profile: float(_says_direction(profile)))
    unknown = [
        profile
        for profile in found.free()
        if profile.name.startswith("column ") and _says_direction(profile) and len(profile.direction_kinds) > 1
    ]
    if amount.signed:
        _ask_contradiction(found, amount)
        return False
    if named and named[0].profile.direction_words & direction_views() and named[0].name.score < 0.9:
        _ask_for(found, named[0].profile)
        return False
    if named:
        found.take("direction", [named[0].profile], named[0].score, named[0].why)
        return True
    if unknown:
        found.take("direction", unknown[:1], BY_VALUES, "values (only words for debit and credit)")
        return True
    if not (_ask_direction(found) or _ask_unknown_words(found) or _ask_marked_rows(found)):
        _note_other_words(found)
    return False


def _says_direction(profile: Profile) -> bool:
    sides = profile.direction_kinds & SIDES
    exact = vocabulary.score(profile.name, "direction").score > 0.9
    return profile.directions >= 0.95 and bool(sides) and (exact or len(sides) == 2)


def _ask_contradiction(found: Findings, amount: Profile) -> None:
    """Asks where signs say the opposite of words: debits without a minus, credits with one."""
    for profile in found.free():
        named = vocabulary.score(profile.name, "direction").score > 0.9
        codes_only = profile.direction_words <= direction_codes() and not named
        if profile.directions < 0.95 or codes_only or _named_otherwise(profile):
            continue
        words = direction_words()
        kinds = [words.get(normalise(cell), "") if cell else "" for cell in profile.column]
        parts = [amounts.take_apart(cell) if cell else None for cell in amount.column]
        signs = [
            (kind == "debit") == part.negative
            for kind, part in zip(kinds, parts, strict=True)
            if kind in SIDES and part is not None and part.number.strip("0.,")
        ]
        if signs and signs.count(False) >= len(signs) * CONTRADICTED:
            found.ask(
                "amount",
                f"{profile.name} says the opposite of the signs in {amount.name}",
                f"columns.direction = {quoted([profile.name])}  # the words are right",
                '# sign = "as_is"  # the signs are right',
            )
            return


def _ask_direction(found: Findings) -> bool:
    """Asks about a column of debit and credit words whose name does not say what it is: a card's type, maybe."""
    for profile in found.free():
        sides = profile.direction_kinds & SIDES
        if len(sides) == 2 and profile.directions >= 0.95 and not _named_otherwise(profile):
            _ask_for(found, profile)
            return True
    return False


def _ask_for(found: Findings, profile: Profile) -> None:
    found.ask(
        "amount",
        f"{profile.name} may give the direction of amounts that carry no sign",
        f"columns.direction = {quoted([profile.name])}",
        AS_IS,
    )


def _named_otherwise(profile: Profile) -> bool:
    """True for the kind of a card, and for names that say something that such words can be."""
    role, best = vocabulary.best_role(profile.name)
    speaks = role and role not in ("direction", "payment_method", "category", "merchant")
    return "card" in normalise(profile.name) or bool(speaks and best.score >= 0.8)


def _ask_unknown_words(found: Findings) -> bool:
    for profile in found.free():
        score = vocabulary.score(profile.name, "direction")
        english_or_plain = (
            score.exact and score.score >= 0.95 and normalise(profile.name) not in ("code", "тип", "sign")
        )
        few = 2 <= len(profile.distinct) <= FEW_WORDS
        if english_or_plain and few and profile.letters > 0.9 and profile.directions < 0.95:
            unknown = sorted(cell for cell in profile.distinct if normalise(cell) not in direction_words())
            found.ask(
                "amount",
                f"{profile.name} seems to give the direction, in words that are not known: {', '.join(unknown)}",
                f"columns.direction = {quoted([profile.name])}",
                *_word_lines(unknown),
            )
            return True
    return False


def _word_lines(unknown: list[str]) -> list[str]:
    """Returns mapping lines that put each word on the side that a word inside it names; the rest is left to people."""
    sides: dict[str, list[str]] = {"debit": [], "credit": [], "": []}
    for word in unknown:
        inside = {direction_words().get(part, "") for part in normalise(word).split()} & SIDES
        sides[inside.pop() if len(inside) == 1 else ""].append(word)
    left = ", ".join(quoted([word]) for word in sides[""])
    hints = {"debit": f"  # which of {left} take money out?", "credit": f"  # which of {left} bring money in?"}
    return [
        f"{kind}_words = [{', '.join(quoted([word]) for word in sides[kind])}]" + (hint if left else "")
        for kind, hint in hints.items()
        if sides[kind] or left
    ]


def _ask_marked_rows(found: Findings) -> bool:
    """Asks about a column that marks only some rows, with CR for example."""
    for profile in found.free():
        one_side = len(profile.direction_kinds & SIDES) == 1 and profile.directions == 1.0
        if one_side and 0 < profile.filled < 1 and not profile.direction_words & direction_views():
            kind = next(iter(profile.direction_kinds & SIDES))
            other = "debit" if kind == "credit" else "credit"
            found.ask(
                "amount",
                f"{profile.name} marks some rows with {', '.join(sorted(profile.distinct))}: {kind}s, it seems",
                f"columns.direction = {quoted([profile.name])}",
                f'{other}_words = [""]  # the rows without a mark',
                AS_IS,
            )
            return True
    return False


def _note_other_words(found: Findings) -> None:
    """Says so where a column knows debits and credits among other words, and the amounts carry no sign."""
    for profile in found.free():
        words = {cell for cell in profile.distinct if normalise(cell) in direction_words()}
        plain = {cell for cell in words if normalise(cell) not in direction_codes() and normalise(cell)}
        kinds = {direction_words()[normalise(cell)] for cell in plain} & SIDES
        if len(kinds) == 2 and profile.directions < 0.95 and len(profile.distinct) <= FEW_WORDS:
            found.notes.append(
                f"no amount carries a sign, and {profile.name} tells {', '.join(sorted(plain)[:4])} apart: amounts "
                f"stay as they are; columns.direction = {quoted([profile.name])}, with debit_words and credit_words "
                "for the other words, gives them signs"
            )
            return
