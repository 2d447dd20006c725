"""The loader: CSV files -> Kafka."""
