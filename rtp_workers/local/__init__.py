"""The embedded platform: Kafka and PostgreSQL without Docker, and the supervisor behind `rtp up`."""
