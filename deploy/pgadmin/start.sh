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
cp /opt/queries/*.sql "$storage/queries/"
# The entrypoint sets the login's password on the first start; pgAdmin gets a rotated one here.
applied=/var/lib/pgadmin/password-applied
wanted=$(sha256sum <"$PGADMIN_DEFAULT_PASSWORD_FILE")
if [ -f /var/lib/pgadmin/pgadmin4.db ] && [ "$(cat "$applied" 2>/dev/null)" != "$wanted" ]; then
  # Silent: its tracebacks print local variables, the password among them.
  /venv/bin/python3 /pgadmin4/setup.py update-user "$PGADMIN_DEFAULT_EMAIL" --role Administrator \
    --password "$(cat "$PGADMIN_DEFAULT_PASSWORD_FILE")" >/dev/null 2>&1 ||
    { echo "pgAdmin did not take the new password; remove the volume pgadmin-data to start afresh"; exit 1; }
fi
printf '%s\n' "$wanted" >"$applied"
exec /entrypoint.sh
