"""Structured logs: JSON lines for machines, sentences for a person.

A service that runs until stopped logs to stdout, as JSON unless that is a terminal. A command logs to stderr, because
its stdout is the answer, often read by a script. It logs sentences, and only warnings and errors unless asked for more.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Literal

import structlog

from rtp_workers.errors import ConfigError
from rtp_workers.printable import printable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
Form = Literal["auto", "text", "json"]
# Kafka's client tries a broker that is away up to twenty times a second, and logs each failure.
KAFKA_CLIENT = "librdkafka"
REPEATED_AFTER_S = 60.0
_NUMBERS = re.compile(r"\d+")


class Repeats(logging.Filter):
    """Keeps back a warning or an error that was logged within the last minute, if only its numbers differ."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether the line is logged."""
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        self._logged_at = {text: at for text, at in self._logged_at.items() if now - at < REPEATED_AFTER_S}
        text = _NUMBERS.sub("", record.getMessage())
        known = text in self._logged_at
        self._logged_at.setdefault(text, now)
        return not known


def configure(to: Literal["stdout", "stderr"] = "stderr", level: str | None = None, form: Form = "auto") -> None:
    """Sets up structlog and the standard library's logging, both to one stream. Calling it again replaces the set-up.

    Args:
        to: ``stdout`` for a service, ``stderr`` for a command.
        level: one of `LEVELS`, any case; None: WARNING for sentences of a command, otherwise INFO.
        form: ``auto`` is JSON for a service whose output is not a terminal, otherwise text.

    Raises:
        ConfigError: there is no such level.
    """
    stream = sys.stdout if to == "stdout" else sys.stderr
    as_json = form == "json" or (form == "auto" and to == "stdout" and not stream.isatty())
    chosen = (level or ("WARNING" if to == "stderr" and not as_json else "INFO")).upper()
    if chosen not in LEVELS:
        raise ConfigError(f"RTP_LOG_LEVEL is {level!r}; give one of {', '.join(LEVELS)}")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(chosen)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(as_json, shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(chosen)
    logging.getLogger(KAFKA_CLIENT).filters[:] = [Repeats()]


def get(name: str, **bound: object) -> structlog.stdlib.BoundLogger:
    """Returns the logger of one part; `bound` is on each of its lines."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name, **bound)
    return logger


def sentence(logger: object, method: str, event: structlog.typing.EventDict) -> str:
    """Returns a log line for a person: ``warning: topic differs: topic transactions, difference ...``."""
    level = str(event.pop("level", method))
    for name in ("timestamp", "logger"):
        event.pop(name, None)
    traceback = event.pop("exception", None)
    what = printable(str(event.pop("event", "")).replace("_", " "))
    details = ", ".join(f"{name.replace('_', ' ')} {printable(str(value))}" for name, value in event.items())
    line = f"{level}: {what}" + (f": {details}" if details else "")
    return line if traceback is None else f"{line}\n{printable(str(traceback), keep=chr(10))}"


def _formatter(as_json: bool, shared: list[structlog.typing.Processor]) -> logging.Formatter:
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else sentence
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
