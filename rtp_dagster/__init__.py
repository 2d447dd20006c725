"""The platform in Dagster: assets, jobs, sensors and checks, one folder per domain. `definitions` wires them."""
