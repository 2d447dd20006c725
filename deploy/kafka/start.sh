#!/bin/bash
# Kafka on a read-only root: /etc/kafka is a tmpfs, so what the tools read there is put back first.
set -eu
tools=/etc/kafka/tools-log4j.properties
if [ ! -e "$tools" ]; then
  printf '%s\n' 'log4j.rootLogger=WARN, stderr' \
    'log4j.appender.stderr=org.apache.log4j.ConsoleAppender' \
    'log4j.appender.stderr.Target=System.err' \
    'log4j.appender.stderr.layout=org.apache.log4j.PatternLayout' \
    'log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n' >"$tools"
fi
# The broker of the SASL overlay reads its administrator's password from a file that `setup` makes.
if [ -n "${JAAS_FILE:-}" ]; then
  until [ -r "$JAAS_FILE" ]; do echo "waiting for $JAAS_FILE"; sleep 1; done
  export KAFKA_OPTS="-Djava.security.auth.login.config=$JAAS_FILE"
fi
exec /etc/confluent/docker/run
