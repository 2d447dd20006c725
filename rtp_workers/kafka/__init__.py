"""The only package that imports confluent_kafka; its errors leave here as the project's own."""
