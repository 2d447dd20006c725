"""Finds the role that a column's name suggests, with the vocabulary in ``vocabulary.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from rtp_workers.mapping.cells.names import bracketed, compact, is_cjk, normalise, without_brackets
from rtp_workers.mapping.cells.words import direction_of, direction_views, word_list
from rtp_workers.record.transaction import FIELD_NAMES

TIERS = {"prime": 1.1, "strong": 1.0, "good": 0.85, "weak": 0.6}
EXACT, BARE, PART, SPOILT = 1.0, 0.94, 0.5, 0.4
# Roles that fill no field. They only prevent that their columns are taken for another role.
SIDES = ("debit", "credit")
DECOYS = frozenset({"balance", "fee", "rate", "other_amount", "other_date", "other_party", "place", "label", "index"})
SUFFIX_LENGTH = 5
REPEATED = re.compile(r" \(\d\)$")  # the second column of a name, as the dialect calls it
# The factor for each step around the end of a path: it lowers a score by a little more than a tie's margin per level.
ONE_LEVEL, INEXACT_LEVEL, IN_A_LIST, OF_ANOTHER, REFUTES = 0.95, 0.9, 0.4, 0.4, 0.8
GENERIC_ENDS = frozenset({"value"})
CONJUNCTIONS = frozenset({"or", "and", "o", "e", "ou", "et", "y", "oder", "und", "eller", "och", "lub", "или", "и"})
MAX_WORDS, MAX_NAME = 8, 24  # longer names are sentences, of which only the beginning counts


@dataclass(frozen=True, slots=True)
class Phrase:
    """One entry: its normalised words, the same without spaces, its weight 0..1, and the languages that use it."""

    text: str
    joined: str
    weight: float
    languages: frozenset[str]


@dataclass(frozen=True, slots=True)
class NameScore:
    """How well a name fits a role. ``score``: 0..1. ``exact``: True if the whole name is an entry."""

    score: float
    exact: bool
    phrase: str
    languages: frozenset[str]


NO_SCORE = NameScore(0.0, False, "", frozenset())


@dataclass(frozen=True, slots=True)
class Role:
    """The entries of one role, by their joined form, and the words that rule a longer name out."""

    name: str
    by_joined: dict[str, Phrase]
    spoil: frozenset[str]


@lru_cache(maxsize=1)
def roles() -> dict[str, Role]:
    """Returns every role of the vocabulary, which is read once."""
    text = files("rtp_workers.mapping.columns").joinpath("vocabulary.toml").read_text("utf-8")
    known = {name: _role(name, table) for name, table in tomllib.loads(text).items()}
    # A field without entries is known by its own name.
    new = {name: _role(name, {"strong": {"en": [name]}}) for name in FIELD_NAMES if name not in known}
    return known | new


def _role(name: str, table: dict[str, object]) -> Role:
    entries: dict[str, Phrase] = {}
    for tier, weight in TIERS.items():
        by_language = table.get(tier, {})
        assert isinstance(by_language, dict)
        for language, phrases in by_language.items():
            for phrase in phrases:
                text, joined = normalise(phrase), compact(phrase)
                seen = entries.get(joined)
                languages = frozenset({language}) | (seen.languages if seen else frozenset())
                entries[joined] = Phrase(text, joined, max(weight, seen.weight if seen else 0.0), languages)
    spoil = table.get("spoil", [])
    assert isinstance(spoil, list)
    return Role(name, entries, frozenset(normalise(word) for word in spoil))


class DocumentPath(str):
    """A column's name that is a path into a document. The last steps say most; those above say what they belong to.

    Attributes:
        steps: the names along the path, without those that every path of the document has.
    """

    steps: tuple[str, ...]

    def __new__(cls, text: str, steps: tuple[str, ...]) -> DocumentPath:
        path = super().__new__(cls, text)
        path.steps = steps
        return path


@lru_cache(maxsize=20_000, typed=True)
def score(name: str, role_name: str) -> NameScore:
    """Returns how well a column's name fits a role. Of a path the end counts; the steps around it may rule it out."""
    if not isinstance(name, DocumentPath):
        return _score(name, role_name)
    best = NO_SCORE
    for start in range(len(name.steps)):
        found = _score(_spoken(name.steps[start:]), role_name)
        value = found.score * _weight_of_outer(name.steps[:start], ONE_LEVEL if found.exact else INEXACT_LEVEL)
        if value > best.score:
            best = NameScore(value, found.exact, found.phrase, found.languages)
    return best


def _spoken(steps: tuple[str, ...]) -> str:
    """Returns the words of a path as people would say them: ``transactionAmount.amount`` is a transaction amount."""
    words: list[str] = []
    for word in " ".join(map(normalise, steps)).split():
        if not words or words[-1] != word:
            words.append(word)
    return " ".join(words[:-1] if len(words) > 1 and words[-1] in GENERIC_ENDS else words)


def _weight_of_outer(steps: tuple[str, ...], one_level: float) -> float:
    """Returns the share of a score that remains after the steps around the end of a path are considered."""
    weight = 1.0
    for step in steps:
        if step.isdecimal():
            weight *= IN_A_LIST
        else:
            refuted = best_role(step)[0] in DECOYS and best_role(step)[1].score >= REFUTES
            weight *= OF_ANOTHER if refuted else one_level
    return weight


def _score(name: str, role_name: str) -> NameScore:
    """Returns how well a name fits a role.

    It looks up the whole name, the name without brackets and the name without filler words; then known names inside a
    longer one. Those count less, and much less next to a word that rules them out.
    """
    role, name = roles()[role_name], REPEATED.sub("", name)
    if not normalise(name):
        return NO_SCORE
    bare = without_brackets(name)
    side = _side_in_brackets(name)
    if side is not None:
        return (
            NameScore(side.weight * BARE, True, side.text, side.languages)
            if side.joined in role.by_joined
            else NO_SCORE
        )
    if role_name == "direction" and _names_both_sides(name):
        return NameScore(TIERS["strong"], True, normalise(name), frozenset())
    for text, factor in ((name, EXACT), (bare, 0.98), (_without_noise(bare or name), BARE)):
        phrase = role.by_joined.get(joined) if text and (joined := compact(text)) else None
        if phrase is not None:
            left_out = set(normalise(name).split()) - set(normalise(text).split())
            spoilt = bool(role.spoil & left_out)
            factor *= SPOILT if spoilt else 1.0
            return NameScore(phrase.weight * factor, factor > BARE, phrase.text, phrase.languages)
    return _inside(bare if normalise(bare) else name, role)


def _side_in_brackets(name: str) -> Phrase | None:
    """Returns the side of an amount given in brackets: ``交易金额(支出)`` and ``Amount (Debit)`` are debits only."""
    inside = compact(bracketed(name))
    if not inside or not _is_whole_or_part(without_brackets(name), roles()["amount"]):
        return None
    return next((found for side in SIDES if (found := roles()[side].by_joined.get(inside)) is not None), None)


def _names_both_sides(name: str) -> bool:
    """True for a name of nothing but words for the two sides: ``PRIJEM_VYDAJ`` and ``Wpływ/Wydatek``."""
    words = [word for word in normalise(name).split() if word not in CONJUNCTIONS]
    sides = {direction_of(word) for word in words if word not in direction_views()}
    return len(words) == len(SIDES) and sides == set(SIDES)


def _is_whole_or_part(name: str, role: Role) -> bool:
    return any(joined in role.by_joined for joined, _ in _parts(normalise(name).split()))


def _without_noise(name: str) -> str:
    words, noise, currencies = normalise(name).split(), word_list("noise"), word_list("currencies")
    kept = [word for word in words if word not in noise and word.upper() not in currencies]
    return " ".join(kept)


def _inside(name: str, role: Role) -> NameScore:
    words = normalise(name).split()
    spoilt = any(
        word in words or (len(word) > 4 and words[0].startswith(word)) or (is_cjk(word) and word in words[-1])
        for word in role.spoil
    )
    best = NO_SCORE
    for joined, covered in _parts(words):
        phrase = role.by_joined.get(joined)
        if phrase is None:
            continue
        value = phrase.weight * (PART + 0.3 * covered) * (SPOILT if spoilt else 1.0)
        if value > best.score:
            best = NameScore(value, False, phrase.text, phrase.languages)
    return best


def _parts(words: list[str]) -> Iterator[tuple[str, float]]:
    """Yields parts of a name, each with its share of the name: runs of words, word endings, runs of CJK characters."""
    whole = "".join(words)
    if is_cjk(whole):
        for start in range(min(len(whole), MAX_NAME)):
            for end in range(start + 2, min(len(whole), MAX_NAME) + 1):
                yield whole[start:end], (end - start) / len(whole)
        return
    for start in range(min(len(words), MAX_WORDS)):
        for end in range(start + 1, min(len(words), MAX_WORDS) + 1):
            at_border = start == 0 or end == len(words)
            yield "".join(words[start:end]), (end - start) / len(words) * (1.0 if at_border else 0.8)
    last = words[-1] if words else ""
    for start in range(1, len(last) - SUFFIX_LENGTH + 1):
        yield last[start:], (len(last) - start) / len(whole)


@lru_cache(maxsize=20_000, typed=True)
def best_role(name: str) -> tuple[str, NameScore]:
    """Returns the role that fits the name best, including decoys; ``("", NO_SCORE)`` if none fits."""
    found = [(role, score(name, role)) for role in roles()]
    role, best = max(found, key=lambda item: (item[1].score, item[1].exact))
    return (role, best) if best.score > 0 else ("", NO_SCORE)


def is_known(name: str) -> bool:
    """True if the vocabulary knows the whole name, or most of it."""
    return best_role(name)[1].score >= 0.55
