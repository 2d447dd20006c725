"""Run ``python -m rtp_dagster.webserver`` with the options of ``dagster-webserver``: it puts our `Door` in front."""

from __future__ import annotations

import sys
from typing import Any

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from rtp_dagster.webserver.door import Door
from rtp_workers.errors import ConfigError
from rtp_workers.settings import WebserverSettings, load
from rtp_workers.web.guard import rules_of

EXIT_CONFIG = 2


def main() -> None:
    """Serves until it receives a signal to stop. Exits with 2 if a setting is wrong."""
    try:
        settings = load(WebserverSettings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    rules = rules_of(settings)

    def guarded(*arguments: Any, **options: Any) -> ASGIApp:
        return Door(create_app_from_workspace_process_context(*arguments, **options), rules)

    # Dagster's command builds the application itself and has no hook for a wrapper, so its function is replaced. Its
    # version is pinned.
    vars(cli)["create_app_from_workspace_process_context"] = guarded
    if settings.dagster_read_only:
        sys.argv.append("--read-only")
    cli.cli(auto_envvar_prefix="DAGSTER_WEBSERVER")


if __name__ == "__main__":
    main()
