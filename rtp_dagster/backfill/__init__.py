"""CSV files -> Kafka."""
