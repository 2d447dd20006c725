"""How long Dagster keeps its own records: without this, they grow without end."""
