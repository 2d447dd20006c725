"""Dagster's webserver behind a door: its own has none, and any web page could launch and delete runs."""
