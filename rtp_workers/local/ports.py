"""Ports on loopback: whether one is free, and which one a test may use."""

from __future__ import annotations

import random
import socket
import time

from rtp_workers.errors import ConfigError, FatalError

LOOPBACK = "127.0.0.1"
# Below Linux's usual range for outgoing connections (32768-60999), so that no client takes one in between.
FREE_RANGE = range(15_000, 32_000)
AFTER_KILL_S = 5.0


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Returns whether a server could listen on the port now. Connections in TIME_WAIT do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def require_free(port: int, setting: str, what: str, wait_s: float = 0, host: str = LOOPBACK) -> None:
    """Raises ConfigError if the port is taken. The message names the setting that changes it.

    Args:
        port: the port that is needed.
        setting: e.g. ``RTP_KAFKA_PORT``.
        what: who needs it, e.g. ``Kafka``.
        wait_s: how long one of our processes that is just ending may still use it.
        host: the address to listen on.
    """
    deadline = time.monotonic() + wait_s
    while not is_free(port, host) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not is_free(port, host):
        raise ConfigError(
            f"port {port}, which {what} needs, is taken on {host}; "
            f"stop the other program or set {setting} to a free port"
        )


def free_port() -> int:
    """Returns a port on which nobody listens, outside the range of outgoing connections. It is not reserved."""
    for port in random.sample(FREE_RANGE, 200):
        if is_free(port):
            return port
    raise FatalError(f"no free port found in {FREE_RANGE.start}-{FREE_RANGE.stop} on {LOOPBACK}; stop some servers")
