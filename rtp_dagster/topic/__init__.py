"""The Kafka topic."""
