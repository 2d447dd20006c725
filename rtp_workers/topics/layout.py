"""The layout of a topic's JSON: a type, learned from its records, that msgspec decodes in one call.

The producers of a topic write the same members again and again. Once they are known, no dictionary is needed for a
record. Members that a path leads to are decoded to texts; all others stay JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec

from rtp_workers.record.documents import Document, encode_json
from rtp_workers.topics.envelopes import MARKS
from rtp_workers.topics.paths import Path, is_removable

# A topic with more members than this probably uses ids as names, and has no layout worth learning.
MAX_MEMBERS = 300
ABSENT = msgspec.Raw(b"")
_ABSENT_VALUE = msgspec.Raw(b"null")


@dataclass(slots=True)
class Members:
    """The members of an object: those on the way to a path's value, and the others."""

    objects: dict[str, Members] = field(default_factory=dict)
    values: dict[str, Path] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    others: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOver:
    """The part of an object that stays: by member, its JSON's position in a row, or what stays of an inner object."""

    members: tuple[tuple[str, int | LeftOver], ...]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a record becomes a row.

    Attributes:
        decode: decodes a body. If it does not fit, it raises what msgspec raises.
        take: turns the decoded object into a tuple: the values at the paths, then the JSON of the members that stay.
        raw: for each path, True if its value comes as JSON, False if as text.
        left_over: where the members that stay belong.
        members: how many members stay.
    """

    decode: Callable[[bytes], Any]
    take: Callable[[Any], tuple[Any, ...]]
    raw: tuple[bool, ...]
    left_over: LeftOver
    members: int


class Layout:
    """Learns the members of a topic's records.

    Args:
        paths: the paths to read. None leads through a list, and none leads into another.
        dropped: the paths to leave out.
        texts: paths whose value must be a text. A record in which it is not does not fit.
    """

    def __init__(self, paths: Sequence[Path], dropped: Sequence[Path], texts: Collection[Path] = ()) -> None:
        self._paths = tuple(paths)
        self._texts = frozenset(texts)
        self._root = Members()
        self._not_text: set[Path] = set()
        self._count = 0
        for path in dropped:
            self._holder(path).dropped.add(str(path[-1]))
        for path in paths:
            self._holder(path).values[str(path[-1])] = path

    def learn(self, documents: Iterable[Document]) -> bool:
        """Adds the members of these documents. Returns True if any of them is new."""
        before = (self._count, len(self._not_text))
        for document in documents:
            self._learn(self._root, document)
        return before != (self._count, len(self._not_text))

    @property
    def is_too_large(self) -> bool:
        """True if there are too many members for a layout."""
        return self._count > MAX_MEMBERS

    def decoding(self) -> Decoding:
        """Returns how records of this layout become rows."""
        found: dict[Path, str] = {}
        kept: list[str] = []
        struct, left_over = self._struct(self._root, "", found, kept)
        decode = msgspec.json.Decoder(struct).decode
        places = [found[path] for path in self._paths] + kept
        if len(places) == 1:
            # With only one name, attrgetter returns a bare value instead of a tuple.
            places += places
        raw = tuple(path in self._not_text for path in self._paths)
        return Decoding(decode, attrgetter(*places), raw, left_over, len(kept))

    def _holder(self, path: Path) -> Members:
        members = self._root
        for name in path[:-1]:
            members = members.objects.setdefault(str(name), Members())
        return members

    def _learn(self, members: Members, document: Document) -> None:
        for name, value in document.items():
            if name in members.objects:
                if isinstance(value, dict):
                    self._learn(members.objects[name], value)
            elif name in members.values:
                if value is not None and not isinstance(value, str) and members.values[name] not in self._texts:
                    self._not_text.add(members.values[name])
            elif name not in members.others and name not in members.dropped and is_plain(name):
                members.others[name] = None
                self._count += 1

    def _struct(self, members: Members, where: str, found: dict[Path, str], kept: list[str]) -> tuple[Any, LeftOver]:
        """Returns the type of an object and what stays of it. Notes the positions of both in `found` and `kept`."""
        fields: list[tuple[str, Any, Any]] = []
        left: list[tuple[str, int | LeftOver]] = []
        names = [*members.values, *members.objects, *members.others, *(members.dropped - members.values.keys())]
        for number, name in enumerate(names):
            place = f"{where}m{number}"
            if name in members.values:
                found[members.values[name]] = place
                as_raw = members.values[name] in self._not_text
                fields.append((f"m{number}", msgspec.Raw if as_raw else str | None, _ABSENT_VALUE if as_raw else None))
            elif name in members.objects:
                struct, below = self._struct(members.objects[name], f"{place}.", found, kept)
                fields.append((f"m{number}", struct, struct()))
                if below.members:
                    left.append((name, below))
            else:
                fields.append((f"m{number}", msgspec.Raw, ABSENT))
                if name not in members.dropped:
                    left.append((name, len(kept)))
                    kept.append(place)
        rename = {f"m{number}": name for number, name in enumerate(names)}
        made = msgspec.defstruct("Members", fields, rename=rename, forbid_unknown_fields=True, frozen=True, gc=False)
        return made, LeftOver(tuple(left))


def layout_of(
    paths: Sequence[Path], takes: Sequence[bool], dropped: Sequence[Path], texts: Collection[Path] = ()
) -> Layout | None:
    """Returns an empty layout; None if the paths need whole documents.

    Args:
        paths: the paths to read.
        takes: for each path, True if its value leaves the document.
        dropped: the paths to leave out.
        texts: paths whose value must be a text.
    """
    used = (*paths, *dropped)
    above = {path[:depth] for path in used for depth in range(1, len(path))}
    names = {str(step) for path in used for step in path}
    nested = not above.isdisjoint(used)
    if not paths or not all(takes) or nested or not all(map(is_removable, dropped)) or not all(map(is_plain, names)):
        return None
    if not MARKS.isdisjoint(path[0] for path in used):
        return None
    return Layout(paths, dropped, texts)


def is_plain(name: str) -> bool:
    """Tells whether JSON writes a member's name without escapes."""
    return name.isprintable() and '"' not in name and "\\" not in name


def attributes_of(left_over: LeftOver, columns: Sequence[Sequence[str]], rows: int) -> list[str]:
    """Returns the rest of each record as JSON, ``""`` if nothing is left.

    Args:
        left_over: where the members that stay belong.
        columns: for each member that stays, its JSON text in each record, ``""`` in a record without it.
        rows: how many records there are.
    """
    if not left_over.members:
        return [""] * rows
    parts = [_member(name, inner, columns, rows) for name, inner in left_over.members]
    if len(parts) == 1:
        return [f"{{{text}}}" if text else "" for text in parts[0]]
    joined = [",".join(filter(None, texts)) for texts in zip(*parts, strict=True)]
    return [f"{{{text}}}" if text else "" for text in joined]


def _member(name: str, inner: int | LeftOver, columns: Sequence[Sequence[str]], rows: int) -> list[str]:
    texts = columns[inner] if isinstance(inner, int) else attributes_of(inner, columns, rows)
    start = encode_json(name).decode() + ":"
    return [start + text if text else "" for text in texts]
