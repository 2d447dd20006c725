"""Checks Kafka, the ledger and the tables against each other, tells how the platform is, and replays dead letters."""
