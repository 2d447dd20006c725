"""What inference has found so far: the role of each column, the rules, and what is still open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.plan import GIVEN, ColumnUse, Question, QuestionKind
from rtp_workers.mapping.sources import Section
from rtp_workers.mapping.toml_text import quoted

# With a lower score, a name says too little. Two candidates closer than the margin are a tie, which becomes a question.
ENOUGH = 0.5
MARGIN = 0.04
# Scores of names: the vocabulary gives a strong entry 1.0 and a good one 0.85. Words around an entry lower the score.
STRONG_NAME = 0.95  # a strong entry, word for word
CLEAR_NAME = 0.9  # a strong entry, with nothing but filler words around it
GOOD_NAME = 0.8  # a good entry, word for word
# Confidence in a column that was chosen without help from its name.
BY_VALUES = 0.7
GUESS = 0.4  # chosen only so that a question can show its cells
MOST_CHOICES = 6  # columns in a question
MAX_SAMPLE = 40  # characters of a cell that a question shows
# Languages that write the day first and use a decimal comma.
DAY_FIRST_LANGUAGES = frozenset(
    {"bg", "he", "id", "de", "fr", "es", "pt", "nl", "it", "pl", "cs", "sv", "no", "fi", "tr", "ro", "ru"}
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may have a role. ``score`` is name times values, 0..1 (slightly more for the best names)."""

    profile: Profile
    score: float
    name: vocabulary.NameScore

    @property
    def why(self) -> str:
        """The evidence for the column."""
        return f"name and values ({self.name.phrase!r})"


@dataclass
class Findings:
    """The working state of one inference."""

    profiles: Sequence[Profile]
    section: Section
    languages: frozenset[str]
    uses: dict[str, ColumnUse] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    undecided: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    yearless: bool = False  # the dates carry no year
    is_remembered: bool = True  # False: the next load decides everything again, so its ids must not change

    def profile(self, name: str) -> Profile:
        """Returns the profile of a column by its name."""
        return next(profile for profile in self.profiles if profile.name == name)

    def take(self, role: str, columns: Sequence[Profile], confidence: float, why: str) -> None:
        """Gives columns a role. They are then no longer free for other roles."""
        names = tuple(profile.name for profile in columns)
        self.uses[role] = ColumnUse(role, names, round(min(1.0, confidence), 2), why)
        self.taken.update(profile.index for profile in columns)

    def take_given(self, role: str) -> bool:
        """Uses the columns that the mapping names for a role. Returns False if it names none."""
        if role not in self.section.columns:
            return False
        self.take(role, [self.profile(name) for name in self.section.columns[role]], 1.0, GIVEN)
        return True

    def ask(self, record_field: str, question: str, *lines: str, kind: QuestionKind = "other") -> None:
        """Leaves a field open: the mapping has to decide it."""
        self.undecided.append(Question(record_field, question, lines, kind))

    def is_open(self, kind: QuestionKind) -> bool:
        """True if a question of this kind has been asked."""
        return any(question.kind == kind for question in self.undecided)

    def leave_open(self, *rules: str) -> None:
        """Records that nothing in the sample decides these rules, so that a later cell must decide them."""
        self.rules["open_rules"] = (*self.rules.get("open_rules", ()), *rules)

    def is_asked(self, record_field: str) -> bool:
        """True if a field has been left open."""
        return any(question.field == record_field for question in self.undecided)

    def candidates(self, role: str, fit: Callable[[Profile], float], least: float = ENOUGH) -> list[Candidate]:
        """Returns the free columns whose name suggests the role and whose values fit it, best first."""
        found = []
        for profile in self.profiles:
            if profile.index in self.taken:
                continue
            name = vocabulary.score(profile.name, role)
            if name.score < least or self._belongs_elsewhere(profile.name, name):
                continue
            score = name.score * fit(profile)
            if score >= least:
                found.append(Candidate(profile, score, name))
        return sorted(found, key=lambda candidate: -candidate.score)

    @staticmethod
    def _belongs_elsewhere(column: str, name: vocabulary.NameScore) -> bool:
        """True if the whole name means a balance, a fee or the like, and at most a part of it fits the role."""
        role, best = vocabulary.best_role(column)
        if role not in vocabulary.DECOYS or (name.score >= best.score and name.exact):
            return False
        return best.exact or (best.score > name.score and not name.exact)

    def amounts_of_uses(self) -> tuple[Profile | None, Profile | None]:
        """Returns the columns whose numbers are added and subtracted: (amount or credit, debit). None: not used."""
        into, out = self.uses.get("amount") or self.uses.get("credit"), self.uses.get("debit")
        plus = self.profile(into.columns[0]) if into is not None else None
        return plus, self.profile(out.columns[0]) if out is not None and "amount" not in self.uses else None

    def free(self) -> list[Profile]:
        """Returns the columns without a role."""
        return [profile for profile in self.profiles if profile.index not in self.taken]


def choices(role: str, profiles: Sequence[Profile]) -> list[str]:
    """Returns mapping lines that offer columns for a role, with sample cells. They are comments: a person chooses."""
    return [f"# columns.{role} = {quoted([profile.name])}{samples(profile)}" for profile in profiles]


def samples(profile: Profile) -> str:
    """Returns a comment with two different cells of a column, and with its position if it has no name."""
    cells = ", ".join(cell[:MAX_SAMPLE] for cell in list(dict.fromkeys(profile.cells))[:2])
    place = f" (column {profile.index + 1}, which has no name)" if profile.name.startswith("column ") else ""
    return f"  # e.g. {cells}{place}".replace("\n", " ") if cells else place and f"  #{place}"


def languages_of(names: Sequence[str]) -> frozenset[str]:
    """Returns the languages, without English, in which the vocabulary knows at least two names (or half of them)."""
    counts: dict[str, int] = {}
    english = 0
    for name in names:
        role, best = vocabulary.best_role(name)
        if not role or not best.exact:
            continue
        english += "en" in best.languages
        for language in best.languages - {"en"}:
            counts[language] = counts.get(language, 0) + 1
    return frozenset(language for language, count in counts.items() if count >= 2 and count > english)
