"""Log lines have one form, so that somebody can search them: snake_case events, and `reason` for why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rtp_workers

LEVELS = {"debug", "info", "warning", "error"}
EVENT = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
OTHER_WORDS_FOR_REASON = {"why", "error", "cause_of", "because", "message"}


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yields every call of `log.<level>` in the workers, with its place."""
    for path in sorted(Path(rtp_workers.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            function = node.func if isinstance(node, ast.Call) else None
            if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
                continue
            if isinstance(node, ast.Call) and isinstance(function.value, ast.Name) and function.value.id == "log":
                yield f"{path.name}:{node.lineno}", node


def test_every_event_is_a_fixed_name_in_snake_case() -> None:
    calls = list(log_calls())
    wrong = [
        place
        for place, call in calls
        if not (isinstance(call.args[0], ast.Constant) and EVENT.fullmatch(str(call.args[0].value)))
    ]
    assert wrong == []
    assert len(calls) > 20


def test_the_reason_of_an_event_is_called_reason() -> None:
    wrong = [
        place for place, call in log_calls() for word in call.keywords if (word.arg or "") in OTHER_WORDS_FOR_REASON
    ]
    assert wrong == []
