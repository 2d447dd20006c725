"""The name of a file as headers, tables, tags and messages show it. A real file name may contain any bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rtp_workers.object_address import is_address, name_in

# Control characters, and characters that change the direction of text: a name must not control a terminal.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def shown_name(path: str | Path) -> str:
    r"""Returns the name of a file or an object, with escapes where it is not printable UTF-8: ``Ums\xe4tze.csv``.

    Different names stay different, unless somebody imitates an escape with a literal backslash.
    """
    text = str(path)
    return shown_path(name_in(text) if is_address(text) else Path(path).name)


def shown_path(path: str | Path) -> str:
    """Returns a whole path with the same escapes, for use in messages."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
