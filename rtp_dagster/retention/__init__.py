"""Limits how long Dagster keeps its own records, which would otherwise grow without end."""
