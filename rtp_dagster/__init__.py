"""The platform in Dagster: assets, jobs, sensors and checks, one folder a domain; `definitions` wires them."""
