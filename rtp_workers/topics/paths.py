"""Paths into a document: ``payment.amount.value``, ``items[0].sku``, or a JSON Pointer if names contain dots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rtp_workers.errors import ConfigError

Step = str | int
Path = tuple[Step, ...]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")
_PLAIN_NAME = re.compile(r"[^.\[\]/~][^.\[\]]*")
_PLACE = re.compile(r"0|[1-9]\d{0,5}", re.ASCII)


def parse_path(text: str) -> Path:
    """Returns the steps of a path. A text is a member's name, a number is an item's position in a list.

    Raises:
        ConfigError: the text has neither form.
    """
    if text.startswith("/"):
        return tuple(_unescaped(token) for token in text[1:].split("/"))
    steps: list[Step] = []
    position = 0
    while position < len(text):
        if steps and text[position] == ".":
            position += 1
        elif steps and text[position] != "[":
            raise _not_a_path(text)
        found = _STEP.match(text, position)
        if found is None:
            raise _not_a_path(text)
        steps.append(found[1] if found[1] is not None else int(found[2]))
        position = found.end()
    if not steps or text.endswith("."):
        raise _not_a_path(text)
    return tuple(steps)


def path_text(path: Path) -> str:
    """Returns the path as people write it: a JSON Pointer if a name cannot be written in the dotted form."""
    if not all(isinstance(step, int) or _PLAIN_NAME.fullmatch(step) for step in path):
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def value_at(document: Any, path: Path) -> Any:
    """Returns the value at a path; None if the document has none."""
    value = document
    for step in path:
        value = _child(value, step)
        if value is None:
            return None
    return value


def remove_at(document: Any, path: Sequence[Step]) -> None:
    """Removes the member at a path, if it is there. A path through a list removes it from every item."""
    step, *below = path
    if isinstance(document, dict):
        if below:
            remove_at(document.get(str(step)), below)
        else:
            document.pop(str(step), None)
    elif isinstance(document, list) and isinstance(step, int):
        if below:
            for item in document:
                remove_at(item, below)
        else:
            document.clear()


def put_at(document: dict[Any, Any], path: Path, value: Any) -> None:
    """Puts a value, and the objects around it, back where `remove_at` took it from."""
    *above, last = path
    for step in above:
        document = document.setdefault(step, {})
    document[last] = value


def is_removable(path: Path) -> bool:
    """False for a path through a list: its items stay even if they are used, so that the list keeps its shape."""
    return all(isinstance(step, str) for step in path)


def leaves(document: Any, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields every value that is neither an object nor a list. Of a list it looks only at the first item."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from leaves(value, (*prefix, name))
    elif isinstance(document, list):
        if document:
            yield from leaves(document[0], (*prefix, 0))
    elif prefix:
        yield prefix, document


def starts_with(path: Path, start: Path) -> bool:
    """Tells whether ``start`` is the path itself, or the path of something around it."""
    return path[: len(start)] == start


def of_first_items(path: Path) -> Path:
    """Returns the path through the first item of each list, which is the one that `leaves` yields."""
    return tuple(0 if isinstance(step, int) else step for step in path)


def _child(value: Any, step: Step) -> Any:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _unescaped(token: str) -> Step:
    return int(token) if _PLACE.fullmatch(token) else token.replace("~1", "/").replace("~0", "~")


def _not_a_path(text: str) -> ConfigError:
    return ConfigError(
        f"{text!r} is not a path into a document; write names with dots and places in brackets, such as "
        "payment.amount or items[0].sku, or a JSON Pointer such as /payment/amount"
    )
