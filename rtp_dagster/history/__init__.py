"""Dagster's own records: kept from growing without end."""
