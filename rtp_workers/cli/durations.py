"""Durations on the command line: ``500ms``, ``30s``, ``5m``, ``2h``; a bare number is seconds."""

from __future__ import annotations

import re

import click

_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """Turns ``5s`` into 5.0 seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns seconds. Fails the command line if the text has another form."""
        if isinstance(value, int | float):
            return float(value)
        match = _FORM.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration; give e.g. 500ms, 30s, 5m or 2h", param, ctx)
        return float(match[1]) * _SECONDS[match[2] or "s"]


DURATION_S = Duration()
