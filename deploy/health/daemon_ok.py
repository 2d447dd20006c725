"""Exit 0 when Dagster's daemon has left a heartbeat within MAX_AGE_S.

It leaves one every 30 s, and ends if a part of it dies.
"""

import os
import sys

from rtp_workers.errors import RtpError
from rtp_workers.postgres.connection import connect, translated

MAX_AGE_S = 120
NEWEST = "select extract(epoch from now() at time zone 'utc' - max(timestamp)) from daemon_heartbeats"

try:
    connection = connect(os.environ["RTP_DAGSTER_POSTGRES_DSN"], "dagster-daemon-health", autocommit=True)
    with translated("read Dagster's heartbeats"), connection.cursor() as cursor:
        cursor.execute(NEWEST)
        age_s = cursor.fetchall()[0][0]
except RtpError as error:
    sys.exit(str(error))
if age_s is None or age_s > MAX_AGE_S:
    sys.exit(f"the newest heartbeat is {age_s} s old")
