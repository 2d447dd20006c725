"""Dagster's code server with our definitions, used by both the webserver and the daemon."""
