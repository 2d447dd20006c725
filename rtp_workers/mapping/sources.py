"""Reads ``data/sources.toml``, which people edit: one section per source, checked strictly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatch, fnmatchcase
from pathlib import Path, PurePath
from typing import Any
from zoneinfo import available_timezones

from rtp_workers.errors import ConfigError, RecordError
from rtp_workers.mapping.cells.affixes import Affix
from rtp_workers.mapping.plan import Given, has_year
from rtp_workers.record.forms import check_instant
from rtp_workers.record.transaction import FIELD_NAMES, RULES

PARTS = ("date", "time", "time_zone", "year", "month", "day", "step", "debit", "credit", "direction", "quantity")
COLUMN_ROLES = tuple(name for name in FIELD_NAMES if name != "attributes") + PARTS
CONSTANTS = tuple(name for name in FIELD_NAMES if name not in ("transaction_id", "attributes", "amount"))
WORDS = ("debit_words", "credit_words", "neutral_words")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "escape": ("backslash", "none"),
    "epoch_unit": ("s", "ms", "us", "ns"),
    "step_unit": ("second", "minute", "hour", "day"),
    "decimal_mark": (".", ","),
    "sign": ("as_is", "negate"),
    "amount_unit": ("major", "minor"),
    "id": ("columns", "derived", "offset"),
    "occurred_at": ("kafka_timestamp",),
    "changes": ("dead_letter", "skip"),
    "overlap": ("same", "other"),
    "ambiguous": ("earlier", "later", "refuse"),
}
# Stands for a value that only a person knows. A section for topics is not used while it has one.
OPEN = "?"
FOR_TOPICS_ONLY = ("occurred_at", "changes", "debit_negative", "credit_negative")
FOR_FILES_ONLY = (
    *("encoding", "delimiter", "quotechar", "escape", "header_line", "header", "skip_rows"),
    *("id_columns", "overlap"),
)


LISTS = ("files", "topics", "drop", "skip_rows", "header", "id_columns", *WORDS)
TRUE_OR_FALSE: Mapping[str, str] = {
    "day_first": "true (31/12/2024) or false (12/31/2024)",
    "debit_negative": "true (debits are written with a minus) or false",
    "credit_negative": "true (credits are written with a minus) or false",
}
WHOLE_NUMBERS: Mapping[str, tuple[int, int]] = {"round_to": (0, 18), "year": (1900, 2100)}


@dataclass(frozen=True, slots=True)
class Section:
    """The mapping of one source. What is left out (None, or empty) is found from the file.

    Attributes:
        name: the section's name.
        files: patterns of file names (not paths), ``*`` and ``?`` as in a shell; case does not matter.
        topics: patterns of topic names, ``*`` and ``?`` as in a shell; case matters. A section has files or topics.
        columns: role -> column names, or paths into a topic's documents; several are joined (ids) or the first filled
            one is taken (texts).
        escape: ``backslash`` if it escapes the character after it, ``none`` if it is an ordinary character.
        constants: field -> value for every row.
        header: names for the columns of a file without a header.
        header_line: physical line of the header, 0 for none.
        drop: columns that do not go into ``attributes``.
        amount_prefix: text before every amount, such as an unknown currency sign; ``amount_suffix``: text after it.
        round_to: digits after the point that amounts are rounded to, half to even; None keeps them as they are.
        year: the year of dates without one; ``year_from`` (MM/YYYY) is the month in which such a file begins.
        ambiguous: which instant is meant by a local time that occurs twice, when clocks go back.
        skip_rows: rows in which a cell starts with one of these are refused as ``skipped_by_mapping``.
        id_source: the text that derived ids start from; if left out, the section's name.
        id_columns: columns whose cells make derived ids; if left out, all except the volatile ones.
        overlap: whether rows that look like stored ones are the ``same`` transactions or ``other`` ones.
        occurred_at: ``kafka_timestamp`` takes the timestamp of the Kafka record.
        debit_negative, credit_negative: True if the amounts of that side are written with a minus. For topics only: a
            file shows it.
        changes: what becomes of updates, deletes and tombstones: ``dead_letter`` or ``skip``.
        open: keys whose value is ``?``, which a person has to replace.
    """

    name: str = ""
    files: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    quotechar: str | None = None
    escape: str | None = None
    header_line: int | None = None
    header: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    day_first: bool | None = None
    time_zone: str | None = None
    epoch_unit: str | None = None
    step_origin: str | None = None
    step_unit: str | None = None
    decimal_mark: str | None = None
    thousands_mark: str | None = None
    sign: str | None = None
    debit_words: tuple[str, ...] = ()
    credit_words: tuple[str, ...] = ()
    amount_unit: str | None = None
    amount_prefix: str | None = None
    amount_suffix: str | None = None
    round_to: int | None = None
    year: int | None = None
    year_from: str | None = None
    neutral_words: tuple[str, ...] = ()
    ambiguous: str | None = None
    id: str | None = None
    id_source: str | None = None
    id_prefix: str | None = None
    id_columns: tuple[str, ...] = ()
    overlap: str | None = None
    skip_rows: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    occurred_at: str | None = None
    debit_negative: bool | None = None
    credit_negative: bool | None = None
    changes: str | None = None
    open: tuple[str, ...] = ()

    @property
    def given(self) -> Given:
        """Returns what the section says about the dialect."""
        escapes = None if self.escape is None else self.escape == "backslash"
        return Given(self.encoding, self.delimiter, self.quotechar, escapes, self.header_line, self.header)

    @property
    def first_month(self) -> tuple[int, int] | None:
        """Returns month and year of `year_from`; None if the section does not give it."""
        if self.year_from is None:
            return None
        month, year = self.year_from.split("/")
        return int(month), int(year)

    @property
    def affix(self) -> Affix | None:
        """Returns the text around the numbers of amounts; None if the section does not give it."""
        if self.amount_prefix is None and self.amount_suffix is None:
            return None
        return Affix(self.amount_prefix or "", self.amount_suffix or "")

    def overridden(self, **values: Any) -> Section:
        """Returns the section with values from the command line. None means not given."""
        return replace(self, **{key: value for key, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Sources:
    """The mapping file: its sections, in the order in which they are tried."""

    sections: tuple[Section, ...] = ()

    def section_for(self, file_name: str) -> Section | None:
        """Returns the first section with a pattern that matches the file's name, or None."""
        name = bare_name(file_name).lower()
        for section in self.sections:
            if any(fnmatch(name, bare_name(pattern).lower()) for pattern in section.files):
                return section
        return None

    def section_for_topic(self, topic: str) -> Section | None:
        """Returns the first section with a pattern that matches the topic's name, or None."""
        for section in self.sections:
            if any(fnmatchcase(topic, pattern) for pattern in section.topics):
                return section
        return None

    def section_named(self, name: str) -> Section:
        """Returns the section with that name.

        Raises:
            ConfigError: there is no such section.
        """
        for section in self.sections:
            if section.name == name:
                return section
        known = ", ".join(section.name for section in self.sections) or "none"
        raise ConfigError(f"the mapping file has no section [{name}]; it has: {known}")


def bare_name(file_name: str) -> str:
    """Returns a file's name without its folders and without the suffix of a compressed file."""
    return re.sub(r"\.(gz|zst)$", "", PurePath(file_name).name, flags=re.IGNORECASE)


def read_sources(path: Path) -> Sources:
    """Reads the mapping file. If there is none, there are no sections.

    Raises:
        ConfigError: the file is not TOML, or has an unknown key or a value of the wrong kind. The message names section
            and key.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Sources()
    except RecursionError as error:
        raise ConfigError(f"{path} cannot be read as TOML: it is nested too deeply; write it flat") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    return sources_from(table, str(path))


def sources_from(table: Mapping[str, Any], origin: str) -> Sources:
    """Returns the sections of a parsed mapping file. ``origin`` is its name in errors."""
    return Sources(tuple(_section(name, entries, origin) for name, entries in table.items()))


def _section(name: str, entries: Any, origin: str) -> Section:
    where = f"{origin}: [{name}]"
    if not isinstance(entries, dict):
        raise ConfigError(f"{where}: must be a table: write [{name}] and its keys below")
    known = {entry.name for entry in fields(Section)} - {"name", "open"}
    unknown = sorted(set(entries) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    answered, still_open = _without_open(entries)
    values = {key: _value(key, value, f"{where}: {key}") for key, value in answered.items()}
    section = Section(name=name, open=still_open, **values)
    _check_calendar(section, where)
    _check_format(section, where)
    _check_purpose(section, answered, where)
    return section


def _without_open(entries: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns a section's entries without those whose value is `OPEN`, and the keys of those."""
    answered: dict[str, Any] = {}
    still_open = []
    for key, value in entries.items():
        if value == OPEN:
            still_open.append(key)
        elif isinstance(value, dict):
            answered[key] = {name: text for name, text in value.items() if text != OPEN}
            still_open += [f"{key}.{name}" for name, text in value.items() if text == OPEN]
        else:
            answered[key] = value
    return answered, tuple(still_open)


def _check_purpose(section: Section, entries: Mapping[str, Any], where: str) -> None:
    """Refuses a section for neither or both of files and topics, or with keys of the other kind."""
    if bool(section.files) == bool(section.topics):
        raise ConfigError(
            f'{where}: needs files, patterns of file names such as files = ["bank-*.csv"], '
            'or topics, patterns of topic names such as topics = ["payments"]; not both'
        )
    kind, others = ("files", FOR_TOPICS_ONLY) if section.files else ("topics", FOR_FILES_ONLY)
    wrong = [key for key in others if key in entries]
    if section.files and section.id == "offset":
        wrong.append('id = "offset"')
    if wrong:
        raise ConfigError(f"{where}: {', '.join(wrong)} cannot be used in a section with {kind}")


def _check_calendar(section: Section, where: str) -> None:
    """Refuses a part of a date alone. Only the day may be missing: it is then the first of the month."""
    given = {"year", "month", "day"} & section.columns.keys()
    if given and not {"year", "month"} <= given:
        raise ConfigError(f"{where}: columns.{min(given)} needs columns.year and columns.month, too")


def _check_format(section: Section, where: str) -> None:
    """Refuses a date format without a year if the section gives none either: strptime would assume 1900."""
    pattern = section.date_format
    if pattern is None or pattern == "excel" or section.year or section.year_from:
        return
    if not has_year(pattern):
        raise ConfigError(
            f"{where}: date_format {pattern!r} has no year; add year = 2024, "
            'or year_from = "12/2023" for a file that crosses New Year'
        )


def _value(key: str, value: Any, where: str) -> Any:
    if key in LISTS:
        return _texts(value, where)
    if key == "columns":
        return _columns(value, where)
    if key == "constants":
        return _constants(value, where)
    if key == "header_line":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"{where}: must be a line number, 0 for a file without a header")
        return value
    if key in WHOLE_NUMBERS:
        low, high = WHOLE_NUMBERS[key]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(f"{where}: must be a whole number from {low} to {high}")
        return value
    if key in TRUE_OR_FALSE:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: must be {TRUE_OR_FALSE[key]}")
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{where}: must be a text in quotes")
    if key in CHOICES and value not in CHOICES[key]:
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(CHOICES[key])}")
    if key == "year_from" and not re.fullmatch(r"(0[1-9]|1[0-2])/(19|20)\d\d", value):
        raise ConfigError(f'{where}: must be the month and year that the file begins in, such as "12/2023"')
    if key == "step_origin":
        _check_instant(value, where)
    if key == "time_zone" and value not in available_timezones():
        raise ConfigError(f"{where}: {value!r} is not an IANA time zone, such as Europe/Berlin or UTC")
    if key in ("delimiter", "quotechar") and len(value) != 1:
        raise ConfigError(f"{where}: must be one character")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f'{where}: must be a text or a list of texts, e.g. ["a", "b"]')
    return tuple(value)


def _columns(value: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ConfigError(f'{where}: must be a table of field = "column"')
    unknown = sorted(set(value) - set(COLUMN_ROLES))
    if unknown:
        raise ConfigError(f"{where}: unknown fields {', '.join(unknown)}; known are {', '.join(COLUMN_ROLES)}")
    return {role: _texts(names, f"{where}.{role}") for role, names in value.items()}


def _constants(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ConfigError(f'{where}: must be a table of field = "text"')
    unknown = sorted(set(value) - set(CONSTANTS))
    if unknown:
        raise ConfigError(f"{where}: unknown fields {', '.join(unknown)}; a constant may be {', '.join(CONSTANTS)}")
    for name, text in value.items():
        _check_constant(name, text, f"{where}.{name}")
    return dict(value)


def _check_constant(name: str, text: str, where: str) -> None:
    rule = RULES[name]
    if rule.kind == "instant":
        _check_instant(text, where)
    elif rule.pattern and not re.fullmatch(rule.pattern, text):
        raise ConfigError(f"{where}: {text!r} is not valid; give the {rule.meaning}")
    elif rule.max_length and len(text) > rule.max_length:
        raise ConfigError(f"{where}: has {len(text)} characters; {rule.max_length} are allowed")


def _check_instant(text: str, where: str) -> None:
    try:
        check_instant(text)
    except RecordError as error:
        raise ConfigError(f"{where}: {error}") from error
