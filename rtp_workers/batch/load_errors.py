"""How the load of one file may end early."""

from __future__ import annotations

from rtp_workers.errors import ConfigError, FatalError, TransientError


class CancelledError(TransientError):
    """The caller cancelled the load; what was acknowledged is stored, and the next load resumes there."""


class HeldBackError(TransientError):
    """Everything is loaded but a last line that may not be complete yet; load the file again later."""


class NothingLoadedError(ConfigError):
    """Every row of the file is refused: it is not read the right way."""


class UnforeseenError(FatalError):
    """A fault of the program ended one file's load; other files are not affected."""
