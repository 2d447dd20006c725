"""The ways in which the load of a file may end early."""

from __future__ import annotations

from rtp_workers.errors import ConfigError, FatalError, TransientError


class CancelledError(TransientError):
    """The caller cancelled the load. The progress so far is stored, and the next load resumes there."""


class HeldBackError(TransientError):
    """Everything is loaded except the last line, which may not be complete yet. Load the file again later."""


class NothingLoadedError(ConfigError):
    """Every row of the file was refused, so it is not read in the right way."""


class UnforeseenError(FatalError):
    """A bug in the program ended the load of one file. Other files are not affected."""
