"""The producer service: live transactions at an exact rate, and an HTTP API."""
