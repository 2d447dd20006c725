"""The only package that imports confluent_kafka. It translates the client's errors into the project's own."""
