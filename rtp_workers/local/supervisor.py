"""Keeps parts running: restarts one that died, with backoff, until somebody asks to stop.

If something goes wrong with one part (a full disk, no more processes), it is logged and retried. It never ends the
other parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.local.embedded import together
from rtp_workers.local.parts import Part

POLL_S = 0.1
STEADY_S = 60.0
EXIT_CONFIG = 2

log = logs.get("rtp.supervisor")


class _WrongSettingsError(Exception):
    """The part says so itself, by its exit code. This is the only reason to give up."""


@dataclass
class Watch:
    """One part and its restarts.

    Attributes:
        retry_at: monotonic time of the next start; None while it runs.
        started_at: monotonic time of the last start.
    """

    part: Part
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, longest_s=30.0))
    retry_at: float | None = None
    started_at: float = field(default_factory=time.monotonic)

    def look(self, now: float) -> None:
        """Restarts the part when it is time.

        Raises:
            ConfigError: the part ended because its settings are wrong, and a restart cannot help.
        """
        try:
            self._look(now)
        except _WrongSettingsError as error:
            raise ConfigError(str(error)) from error
        except Exception as error:  # noqa: BLE001 - trouble with one part must not end the others
            wait_s = self.backoff.next_s()
            self.retry_at = now + wait_s
            log.error("part_not_started", part=self.part.name, reason=told(error), starts_again_in_s=round(wait_s, 1))

    def _look(self, now: float) -> None:
        if self.part.running():
            if now - self.started_at > STEADY_S:
                self.backoff.reset()
        elif self.retry_at is None:
            self._died(now)
        elif now >= self.retry_at:
            self._start_again(now)

    def _died(self, now: float) -> None:
        code = self.part.exit_code()
        if code == EXIT_CONFIG:
            raise _WrongSettingsError(
                f"{self.part.name} refuses its settings; see the end of its log, logs/{self.part.name}.log"
            )
        wait_s = self.backoff.next_s()
        self.retry_at = now + wait_s
        log.warning("part_died", part=self.part.name, exit_code=code, starts_again_in_s=round(wait_s, 1))

    def _start_again(self, now: float) -> None:
        self.part.prepare()
        self.part.start()
        self.retry_at, self.started_at = None, now
        log.info("part_started_again", part=self.part.name)


def told(error: Exception) -> str:
    """Returns an error as one sentence; with its class if it is not one of ours."""
    return str(error) if isinstance(error, RtpError) else f"{type(error).__name__}: {error}"


def keep_running(parts: Sequence[Part], until: Callable[[], bool]) -> None:
    """Watches started parts until `until` returns true.

    Raises:
        ConfigError: a part ended because its settings are wrong.
    """
    watches = [Watch(part) for part in parts]
    while not until():
        for watch in watches:
            watch.look(time.monotonic())
        time.sleep(POLL_S)


def stop_all(parts: Sequence[Part]) -> None:
    """Stops all parts at once."""
    together([part.stop for part in parts])
