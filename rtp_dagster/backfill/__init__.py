"""The CSV files of the data folder: loaded into Kafka, and watched until they are."""
