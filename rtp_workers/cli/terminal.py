"""The way to the terminal: everything that a command prints passes here, so no file or record can control it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rtp_workers.printable import printable


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a sentence or several lines, with control characters escaped."""
    click.echo(printable(text, keep="\n"), err=err, nl=nl)


def console(*, stderr: bool = False, highlight: bool = True) -> Console:
    """Returns a console for tables and progress bars that escapes control characters in everything it shows."""
    return _SafeConsole(stderr=stderr, highlight=highlight)


def survive_any_encoding() -> None:
    """Shows a letter escaped if the terminal's encoding lacks it, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _SafeConsole(Console):
    """Escapes whatever is rendered. rich moves the cursor with control segments, which are not escaped."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text, keep="\n"), segment.style)
