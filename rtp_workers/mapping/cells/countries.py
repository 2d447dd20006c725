"""Countries by ISO 3166 code (two or three letters) or name -> two letters."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

from rtp_workers.mapping.cells.names import normalise


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    text = files("rtp_workers.mapping.cells").joinpath("countries.toml").read_text("utf-8")
    found: dict[str, str] = {}
    for code, names in tomllib.loads(text).items():
        for name in (code, *names):
            found[normalise(name)] = code
    return found


@lru_cache(maxsize=20_000)
def country_code(cell: str) -> str | None:
    """Returns the ISO 3166 alpha-2 code; None if the cell does not name a known country."""
    text = cell.strip()
    if len(text) == 2 and not text.isupper():
        return None  # in lower case, "is", "no" and "de" are mostly ordinary words
    return _codes().get(normalise(text))
