"""Writes values in the mapping file's notation."""

from __future__ import annotations

import json
from collections.abc import Sequence


def quoted(names: Sequence[str]) -> str:
    """Returns names as a TOML value: one string, or a list of strings."""
    texts = [json.dumps(name, ensure_ascii=False) for name in names]  # a JSON text is a TOML basic string
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def quoted_list(names: Sequence[str]) -> str:
    """Returns names as a TOML list, also if there is only one."""
    return f"[{', '.join(quoted([name]) for name in names)}]"
