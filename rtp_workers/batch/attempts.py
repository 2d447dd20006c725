"""One attempt to load a file of the data folder. How it ended is stored, so that a file not loaded has a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtp_workers import logs
from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.folder import GONE, Stamp, file_stamp
from rtp_workers.batch.load_file import LoadOptions, LoadReport, load_file
from rtp_workers.batch.source_file import STDIN
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AccessError, ConfigError, FatalError, RtpError
from rtp_workers.kafka.record_producer import ProducerBrokenError
from rtp_workers.object_address import ObjectAddress, is_address, parse_address
from rtp_workers.postgres import csv_files
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_files import Attempt
from rtp_workers.settings import LoaderSettings, PlatformSettings

NEW_PRODUCERS = 5  # in one attempt; if so many clients break, a person should look at it

log = logs.get("rtp.load")


def attempt_load(
    path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions | None = None
) -> LoadReport:
    """Loads a file as `load_file` does and raises what it raises. For a file of the data folder, stores how it ended.

    If PostgreSQL cannot store that, the file counts as not tried, and is tried again.
    """
    known = path != STDIN and _folder(path) == settings.data_dir
    size_bytes, modified_ns = _stamp(path, settings) if known else GONE
    mapping = mapping_stamp(settings)
    try:
        report = _load_resuming(path, endpoints, settings, options or LoadOptions())
    except RtpError as error:
        if known:
            # A file that is damaged or not understood stays so. Any other failure has its cause outside the file.
            passing = isinstance(error, AccessError) or not isinstance(error, ConfigError | FatalError)
            _note(endpoints, Attempt(shown_name(path), size_bytes, modified_ns, mapping, "failed", passing, str(error)))
        raise
    if known:
        loaded = Attempt(
            report.file,
            size_bytes,
            modified_ns,
            mapping,
            "loaded",
            identity=report.identity,
            rows_read=report.rows_read,
            refused=report.refused,
        )
        _note(endpoints, loaded)
    return report


def _load_resuming(path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions) -> LoadReport:
    """Loads a file. If the Kafka client cannot recover, a new one resumes after the last acknowledged record."""
    for _ in range(NEW_PRODUCERS):
        try:
            return load_file(path, endpoints, settings, options)
        except ProducerBrokenError as error:
            if path == STDIN:
                raise  # it cannot be read a second time
            log.warning("load_resumed", file=shown_name(path), reason=str(error))
            options = replace(options, again=False)  # done once; from now on its own progress counts
    return load_file(path, endpoints, settings, options)


def _folder(path: str) -> Path | ObjectAddress:
    return parse_address(path).folder if is_address(path) else Path(path).absolute().parent


def _stamp(path: str, settings: LoaderSettings) -> Stamp:
    if not is_address(path):
        return file_stamp(Path(path))
    # Not imported at the top: files on a disk do not need it.
    from rtp_workers.batch.object_origin import object_stamp
    from rtp_workers.objects.access import StoreAccess

    return object_stamp(parse_address(path), StoreAccess.of(settings)) or GONE


def mapping_stamp(settings: PlatformSettings) -> str:
    """Returns a text that changes whenever the mapping file changes or is touched."""
    size_bytes, modified_ns = file_stamp(settings.sources_path)
    return f"{size_bytes}:{modified_ns}"


def _note(endpoints: Endpoints, attempt: Attempt) -> None:
    try:
        connection = connect(endpoints.need("postgres_ingest_dsn"), "rtp load", autocommit=True)
        try:
            csv_files.note(connection, attempt)
        finally:
            connection.close()
    except RtpError as error:
        log.warning("attempt_not_noted", file=attempt.file_name, reason=str(error))
