"""Quix Streams: one topic into PostgreSQL through its PostgreSQLSink. Runs in a virtual environment of its own."""

from __future__ import annotations

import json
import os
from urllib.parse import urlsplit

from quixstreams import Application
from quixstreams.sinks.community.postgresql import PostgreSQLSink


def main() -> None:
    """Runs until SIGTERM."""
    given = json.loads(os.environ["PEER"])
    database = urlsplit(given["dsn"])
    app = Application(
        broker_address=given["bootstrap"],
        consumer_group=given["group"],
        auto_offset_reset="earliest",
        commit_interval=given["commit_interval_s"],
        commit_every=given["commit_every"],
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )
    sink = PostgreSQLSink(
        host=database.hostname or "",
        port=database.port or 5432,
        dbname=database.path.lstrip("/"),
        user=database.username or "",
        password=database.password or "",
        table_name=given["table"],
        schema_auto_update=False,
        include_metadata=False,
        on_conflict_do_nothing=True,
    )
    app.dataframe(app.topic(given["topic"], value_deserializer="json")).sink(sink)
    app.run()


if __name__ == "__main__":
    main()
