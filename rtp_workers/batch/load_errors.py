"""The ways in which the load of a file may end early."""

from __future__ import annotations

from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError, FatalError, TransientError


class CancelledError(TransientError):
    """The caller cancelled the load. The progress so far is stored, and the next load resumes there."""


class HeldBackError(TransientError):
    """Everything is loaded except the last line, which may not be complete yet. Load the file again later."""


class NothingLoadedError(ConfigError):
    """Every row of the file was refused, so it is not read in the right way."""


class UnforeseenError(FatalError):
    """A bug in the program ended the load of one file. Other files are not affected."""


def held_back(file: str, loaded: int, rest_s: float) -> HeldBackError:
    """Returns the error of a file whose last line may not be complete; `rest_s` is how long it has to rest first."""
    return HeldBackError(
        f"{file}: {counted(loaded, 'row')} loaded. The last line has no newline, and the file changed less than a "
        "minute ago: the line is held back, since it may not be complete. Load the file again when it is complete, or "
        "now with --final",
        retry_after_s=rest_s,
    )


def nothing_loaded(file: str, refused: int, first_refusal: str, listed_in: str) -> NothingLoadedError:
    """Returns the error of a file of which every row was refused."""
    first = f" The first: {first_refusal}." if first_refusal else ""
    every = "its only row is" if refused == 1 else f"all {refused:,} rows are"
    return NothingLoadedError(
        f"{file}: nothing was loaded, because {every} refused.{first} The list is in {listed_in}. "
        f"Look at `rtp load --dry-run {file}`: is the delimiter, the quote character or a column mistaken for another "
        "one?"
    )
