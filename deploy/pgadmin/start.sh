#!/bin/sh
# What pgAdmin's own entrypoint does on the first start only is done at every start here, so that a rotated password
# and changed queries arrive: the pgpass file and the saved queries in the user's storage.
set -eu
umask 077
until [ -r "$PGADMIN_DEFAULT_PASSWORD_FILE" ]; do echo "waiting for $PGADMIN_DEFAULT_PASSWORD_FILE"; sleep 1; done
storage=/var/lib/pgadmin/storage/$(printf %s "$PGADMIN_DEFAULT_EMAIL" | tr @ _)
mkdir -p "$storage/queries"
cp /run/rtp/pgpass "$storage/.pgpass.new"
chmod 600 "$storage/.pgpass.new"
mv "$storage/.pgpass.new" "$storage/.pgpass"
cp /opt/rtp/queries/*.sql "$storage/queries/"
exec /entrypoint.sh
