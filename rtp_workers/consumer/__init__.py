"""The consumer service: Kafka -> PostgreSQL, exactly once, and an HTTP API."""
