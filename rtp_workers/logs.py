"""Structured logs: JSON lines for machines, a readable line for a person at a terminal.

A worker that runs until stopped logs to stdout (``configure("stdout")``); a one-shot command logs to stderr, because
its stdout is the answer, often read by a script.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog

from rtp_workers.errors import ConfigError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def configure(to: Literal["stdout", "stderr"] = "stderr", level: str = "INFO") -> None:
    """Sets up structlog and the standard library's logging, both to the same stream. Calling it again replaces it.

    Args:
        to: ``stdout`` for a worker, ``stderr`` for a one-shot command.
        level: one of `LEVELS`, any case.

    Raises:
        ConfigError: there is no such level.
    """
    if level.upper() not in LEVELS:
        raise ConfigError(f"RTP_LOG_LEVEL is {level!r}; give one of {', '.join(LEVELS)}")
    stream = sys.stdout if to == "stdout" else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(stream, shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def get(name: str, **bound: Any) -> structlog.stdlib.BoundLogger:
    """Returns the logger of one part; `bound` is on each of its lines."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name, **bound)
    return logger


def _formatter(stream: TextIO, shared: list[structlog.typing.Processor]) -> logging.Formatter:
    if stream.isatty():
        last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
