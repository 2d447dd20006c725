#!/bin/bash
# Over TCP, because during the first initialisation a server listens on the socket alone; then one real query.
set -eu
pg_isready -q -h 127.0.0.1 -t 5
[ "$(psql -XAtqU postgres -d postgres -c 'select 1')" = 1 ]
