"""Dagster's code server with our definitions, which webserver and daemon share."""
