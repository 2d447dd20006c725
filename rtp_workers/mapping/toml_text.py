"""Values as the mapping file writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence


def quoted(names: Sequence[str]) -> str:
    """Returns names as a TOML value: one text, or a list."""
    texts = [json.dumps(name, ensure_ascii=False) for name in names]  # a JSON text is a TOML basic string
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
