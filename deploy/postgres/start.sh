#!/bin/bash
# The first start needs the superuser's password, which `setup` creates. Wait for it, whichever starts first.
set -eu
until [ -r "$POSTGRES_PASSWORD_FILE" ]; do echo "waiting for $POSTGRES_PASSWORD_FILE"; sleep 1; done
exec docker-entrypoint.sh "$@"
