"""What the unit tests share."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_imported() -> None:
    """Forgets the logs' settings: a command that an earlier test ran in this process has made its own."""
    structlog.reset_defaults()
