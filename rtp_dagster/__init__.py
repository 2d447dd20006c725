"""rtp_dagster."""
