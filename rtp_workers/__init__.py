"""Workers of the real-time data platform: CSV and live transactions -> Kafka -> PostgreSQL."""
