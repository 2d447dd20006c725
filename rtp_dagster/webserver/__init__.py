"""Dagster's webserver behind an access check. Without it, any web page could launch and delete runs."""
