"""Run ``python -m rtp_dagster.code_server --socket PATH``, or ``--host H --port N``, in place of ``dagster api grpc``.

Each run is a separate process. Before the server starts, it looks for runs whose process is gone (see `lost_runs`).
"""

from __future__ import annotations

import runpy
import sys
import threading

from rtp_dagster.code_server.lost_runs import find_lost, look_after

DEFINITIONS = ("--module-name", "rtp_dagster.definitions", "--location-name", "rtp_dagster")


def main(arguments: list[str]) -> None:
    """Serves until it receives a signal to stop."""
    lost = find_lost()
    if lost:
        threading.Thread(target=look_after, args=(lost, grpc_target(arguments)), name="lost-runs", daemon=True).start()
    sys.argv = ["dagster", "api", "grpc", *DEFINITIONS, *arguments]
    runpy.run_module("dagster", run_name="__main__")


def grpc_target(arguments: list[str]) -> str:
    """Returns the gRPC address at which the server with these arguments answers."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    return f"unix:{options['--socket']}" if "--socket" in options else f"127.0.0.1:{options['--port']}"


if __name__ == "__main__":
    main(sys.argv[1:])
