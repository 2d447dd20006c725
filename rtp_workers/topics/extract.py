"""Documents of a batch -> columns of cells, path by path, in loops without a function call per document.

Values that are read leave the document, so that the rest is its ``attributes``. `value_at` and `remove_at` do the same
for one document at a time. A property test checks that both agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rtp_workers.record.documents import Document, cell_text
from rtp_workers.topics.paths import Path, is_removable, remove_at, starts_with, value_at

_NOTHING: dict[str, Any] = {}  # stands for a missing object; never filled
_TEXT_ONLY = frozenset({str})
_TEXT_OR_NULL = frozenset({str, type(None)})


class Extractor:
    """Takes the values at some paths out of documents.

    Args:
        paths: the paths to read, each only once.
        stays: for each path, True if its value also stays in the document.
        dropped: paths to remove without reading them. One through a list is removed from every item.

    Attributes:
        takes: for each path, True if its value leaves the document.
        may_return: for each path, True if a value that fits no field may go back into the document.
    """

    def __init__(self, paths: Sequence[Path], stays: Sequence[bool], dropped: Sequence[Path] = ()) -> None:
        self._paths = tuple(paths)
        self.takes = tuple(
            is_removable(path) and not stay and not _is_inside(path, paths)
            for path, stay in zip(paths, stays, strict=True)
        )
        self.may_return = tuple(
            taken and not any(starts_with(path, gone) for gone in dropped)
            for path, taken in zip(paths, self.takes, strict=True)
        )
        self._dropped = tuple(dropped)
        self._going = [path for path, taken in zip(paths, self.takes, strict=True) if taken] + list(dropped)
        emptied = {path[:depth] for path in self._going if is_removable(path) for depth in range(1, len(path))}
        self._emptied = sorted(emptied, key=len, reverse=True)

    def columns(self, documents: Sequence[Document]) -> list[list[Any]]:
        """Returns for each path a list with one value per document, None if it has none. Prunes the documents."""
        objects: dict[Path, list[Any]] = {(): list(documents)}
        found = [self._values(objects, path, remove) for path, remove in zip(self._paths, self.takes, strict=True)]
        for path in self._dropped:
            self._drop(objects, path)
        for path in self._emptied:
            *_, step = path
            for parent, child in zip(_objects(objects, path[:-1]), _objects(objects, path), strict=True):
                if not child and child is not _NOTHING:
                    parent.pop(step, None)  # it may also be dropped as a whole
        return found

    def one_by_one(self, documents: Sequence[Document]) -> list[list[Any]]:
        """Does the same as `columns`, one document at a time. `columns` must agree with it."""
        return list(map(list, zip(*map(self.values, documents), strict=True)))

    def values(self, document: Document) -> list[Any]:
        """Does the same as `columns` for one document."""
        found = [value_at(document, path) for path in self._paths]
        for path in self._going:
            remove_at(document, path)
        for path in self._emptied:
            if value_at(document, path) == {}:
                remove_at(document, path)
        return found

    @staticmethod
    def _values(objects: dict[Path, list[Any]], path: Path, remove: bool) -> list[Any]:
        if not is_removable(path):
            return [value_at(document, path) for document in objects[()]]
        parents, name = _objects(objects, path[:-1]), path[-1]
        if remove:
            return [parent.pop(name, None) if parent else None for parent in parents]
        return [parent.get(name) for parent in parents]

    @staticmethod
    def _drop(objects: dict[Path, list[Any]], path: Path) -> None:
        if not is_removable(path):
            for document in objects[()]:
                remove_at(document, path)
            return
        for parent in _objects(objects, path[:-1]):
            if parent:
                parent.pop(path[-1], None)


def texts_of(values: Sequence[Any]) -> tuple[list[str], list[int]]:
    """Returns the text of each value, and the positions of objects and lists, which have no text (``""``)."""
    kinds = frozenset(map(type, values))
    if kinds <= _TEXT_ONLY:
        return list(values), []
    if kinds <= _TEXT_OR_NULL:
        return [value or "" for value in values], []
    try:
        return list(map(cell_text, values)), []
    except TypeError:
        return _texts_one_by_one(values)


def _texts_one_by_one(values: Iterable[Any]) -> tuple[list[str], list[int]]:
    texts, without = [], []
    for index, value in enumerate(values):
        try:
            texts.append(cell_text(value))
        except TypeError:
            texts.append("")
            without.append(index)
    return texts, without


def _objects(objects: dict[Path, list[Any]], path: Path) -> list[Any]:
    """Returns the object at a path in each document, `_NOTHING` for a document without one."""
    known = objects.get(path)
    if known is None:
        name = path[-1]
        members = [parent.get(name) for parent in _objects(objects, path[:-1])]
        known = objects[path] = [member if type(member) is dict else _NOTHING for member in members]
    return known


def _is_inside(path: Path, paths: Sequence[Path]) -> bool:
    """True if another path leads into this one: an object that is read as a whole would lose its members."""
    return any(other != path and other[: len(path)] == path for other in paths)
