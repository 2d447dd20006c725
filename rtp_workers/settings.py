"""Settings: one frozen class per program, read once at its start by `load`.

A setting comes from the first of: the command line, the environment (prefix ``RTP_``), ``.env`` in the current folder,
a file in ``RTP_SECRETS_DIR``. `setting_sources` reads the last three; nothing else looks for settings.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from rtp_workers.errors import ConfigError
from rtp_workers.object_address import ObjectAddress, is_address, parse_bucket
from rtp_workers.setting_sources import PREFIX, Given, read

SOURCES_NAME = "sources.toml"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class PlatformSettings(BaseModel):
    """What every program shares: where the platform is and how to reach it.

    If a DSN or the bootstrap is left out, the embedded platform of ``home`` is meant.
    """

    # A program reads one or two of these classes: only those are built.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    home: Path = Field(Path(".rtp"), description="data, logs, secrets and refused rows of the embedded platform")
    data_dir: Path | ObjectAddress = Field(
        Path("data"), description="the folder of CSV files to backfill, or an address such as s3://bucket/exports"
    )
    sources_file: Path | None = Field(
        None, description="the mapping file; default: sources.toml in the data folder, of an address in RTP_HOME"
    )
    refused_dir: str | None = Field(
        None,
        description="folder, or address such as s3://bucket/refused, for lists of refused rows; default: `refused` in "
        "RTP_HOME, and for an object `refused/` next to it",
    )
    secrets_dir: Path | None = Field(None, description="folder with one file per secret, named like its setting")
    s3_endpoint_url: str | None = Field(None, description="an S3 store other than Amazon's; default: AWS_ENDPOINT_URL")
    s3_region: str | None = Field(None, description="region of the S3 store; default: AWS_REGION")
    s3_access_key_id: SecretStr | None = Field(None, description="default: as AWS's own tools find it")
    s3_secret_access_key: SecretStr | None = Field(None, description="default: as AWS's own tools find it")
    s3_session_token: SecretStr | None = Field(None, description="default: as AWS's own tools find it")
    bind_host: str = Field("127.0.0.1", description="address that all our servers bind to")
    kafka_port: int = Field(9092, ge=1, le=65535)
    postgres_port: int = Field(5432, ge=1, le=65535)
    producer_port: int = Field(8001, ge=1, le=65535)
    consumer_port: int = Field(8002, ge=1, le=65535)
    dagster_port: int = Field(3000, ge=1, le=65535)
    pgadmin_port: int = Field(8080, ge=1, le=65535)
    kafka_bootstrap: str | None = Field(None, description="your own Kafka, host:port[,host:port]; none is started then")
    kafka_client_config: SecretStr | None = Field(
        None, description="librdkafka client settings (TLS, SASL): a JSON object, or the path of a file with one"
    )
    topic: str = "transactions"
    topic_partitions: int = Field(6, ge=1, le=10_000, description="partitions of the topic; more can be added later")
    topic_replication: int | None = Field(
        None, ge=1, le=100, description="copies of each partition; default: the cluster's"
    )
    topic_min_insync: int | None = Field(
        None,
        ge=1,
        le=100,
        description="copies that must have a record before Kafka acknowledges it; default: the cluster's",
    )
    kafka_rack: str | None = Field(None, description="rack (zone) of this process; consumers read from brokers in it")
    topics: str = Field(
        "", description="other topics to consume as well: names and patterns (* and ?), separated by commas"
    )
    schema_registry_url: str | None = Field(None, description="schema registry that the values of topics refer to")
    schema_registry_user: str | None = None
    schema_registry_password: SecretStr | None = None
    group_id: str = "rtp-consumer"
    postgres_dsn: SecretStr | None = Field(None, description="your own PostgreSQL, as the owner; none is started then")
    postgres_ingest_dsn: SecretStr | None = Field(None, description="role rtp_ingest, which the workers use")
    postgres_read_dsn: SecretStr | None = Field(None, description="role rtp_read")
    postgres_insights_dsn: SecretStr | None = Field(None, description="role rtp_insights: writes the schema insights")
    dagster_postgres_dsn: SecretStr | None = Field(None, description="Dagster's own database and role")
    api_token: SecretStr | None = Field(
        None, description="when set, HTTP calls need Authorization: Bearer, except health, metrics and the pages' files"
    )
    read_token: SecretStr | None = Field(None, description="for viewers: it can read, not change anything")
    allowed_hosts: str = Field("", description="more Host names that the APIs answer to, comma-separated")
    allowed_origins: str = Field("", description="more Origins that may change things, comma-separated")
    producer_url: str | None = Field(None, description="where the producer's API is, for status and Dagster")
    consumer_url: str | None = Field(None, description="where the consumer's API is, for status and Dagster")
    dagster_url: str | None = None
    pgadmin_url: str | None = None
    env_home: Path | None = Field(None, description="set by `rtp env`: the home that the addresses belong to")
    log_level: str | None = Field(None, description="DEBUG, INFO, WARNING or ERROR; default: WARNING for commands")
    log_format: Literal["auto", "text", "json"] = Field("auto", description="auto: JSON for services, else text")
    failpoint: str | None = Field(None, description="for tests only: where the process stops itself")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in LOG_LEVELS:
            raise ValueError(f"give one of {', '.join(LOG_LEVELS)}")
        return None if value is None else value.upper()

    @field_validator("data_dir", mode="before")
    @classmethod
    def _address(cls, value: object) -> object:
        return parse_bucket(value) if isinstance(value, str) and is_address(value) else value

    @field_validator("home", "data_dir")
    @classmethod
    def _absolute(cls, value: Path | ObjectAddress) -> Path | ObjectAddress:
        return value.expanduser().absolute() if isinstance(value, Path) else value

    @property
    def reading_token(self) -> SecretStr | None:
        """The token that our own programs send to APIs that they only read."""
        return self.read_token or self.api_token

    @property
    def sources_path(self) -> Path:
        """The mapping file."""
        folder = self.data_dir if isinstance(self.data_dir, Path) else self.home
        return self.sources_file or folder / SOURCES_NAME

    @property
    def foreign_topics(self) -> tuple[str, ...]:
        """The patterns of topics that are mapped; our own topic is consumed in any case."""
        return tuple(part for part in (part.strip() for part in self.topics.split(",")) if part and part != self.topic)

    def kafka_client_options(self) -> dict[str, Any]:
        """Returns the user's own librdkafka settings; ``{}`` if there are none.

        Raises:
            ConfigError: it is neither a JSON object nor a readable file with one.
        """
        if self.kafka_client_config is None:
            return {}
        text = self.kafka_client_config.get_secret_value().strip()
        try:
            options = json.loads(text if text.startswith("{") else Path(text).read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"RTP_KAFKA_CLIENT_CONFIG is neither a JSON object nor a file with one ({type(error).__name__}); "
                'give e.g. {"security.protocol": "SASL_SSL", ...} or a path'
            ) from error
        if not isinstance(options, dict):
            raise ConfigError("RTP_KAFKA_CLIENT_CONFIG must be a JSON object of librdkafka settings")
        return options


class ConsumerSettings(PlatformSettings):
    """``rtp consume``: batches, backoff and memory of the worker between Kafka and PostgreSQL."""

    consumer_batch_rows: int = Field(10_000, ge=1, le=1_000_000, description="most rows in a batch")
    consumer_batch_bytes: int = Field(4_000_000, ge=1_000, description="most bytes of record values in a batch")
    consumer_batch_age_ms: int = Field(
        20, ge=1, le=10_000, description="a batch is closed when its first record is this old"
    )
    consumer_queue_bytes: int = Field(16_000_000, ge=1_000_000, description="librdkafka's fetch queue at most")
    consumer_session_timeout_s: float = Field(10.0, ge=6, le=300)
    consumer_allow_compacted: bool = Field(
        False, description="consume a compacted topic as well; records that Kafka deletes from it are lost"
    )
    consumer_group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="consumer: Kafka's new group protocol (KIP-848), with Kafka 4.0 or newer"
    )
    consumer_max_poll_interval_s: float = Field(60.0, ge=10, le=3600)


class ProducerSettings(PlatformSettings):
    """``rtp produce``: the live generator and its HTTP API."""

    producer_rate_per_s: float = Field(50.0, gt=0, description="records per second at the start")
    producer_seed: int | None = Field(None, description="same seed, start and speed: same records; default: random")
    producer_queue_bytes: int = Field(256_000_000, ge=1_000_000, description="librdkafka's send queue at most")
    producer_start: datetime | None = Field(None, description="event time of the first record; default: now")
    producer_speed: float = Field(1.0, gt=0, le=1e6, description="with a start: how many times faster event time runs")
    producer_ack_timeout_s: float = Field(10.0, gt=0, le=300, description="how long POST /transactions waits for Kafka")
    producer_flush_timeout_s: float = Field(20.0, gt=0, le=600, description="how long it waits for Kafka when it stops")
    producer_autostart: bool = True


class LoaderSettings(PlatformSettings):
    """``rtp load`` and the backfill: chunk size and queue bounds."""

    loader_block_bytes: int = Field(1 << 18, ge=1 << 10, le=1 << 26, description="bytes of a file sent at a time")
    loader_queue_bytes: int = Field(32_000_000, ge=1_000_000, description="librdkafka's send queue at most")
    loader_process_bytes: int = Field(
        16_000_000, ge=0, description="files from this size on are read by a second process"
    )
    loader_tail_rest_s: float = Field(
        60.0, ge=0, description="a last line without its newline is complete when its file has rested this long"
    )
    loader_max_line_bytes: int = Field(
        64_000_000, ge=1 << 20, description="a file with a longer line than this is refused: it is not text"
    )
    loader_refused_bytes: int = Field(
        16_000_000, ge=1_000, description="size of one list of refused rows; further ones are counted only"
    )
    loader_max_ratio: float = Field(
        200.0, ge=2, description="a compressed file that unpacks to more than this many times its size is refused"
    )


class DagsterSettings(LoaderSettings):
    """Dagster's jobs, sensors and checks: how long a backfill waits, and the limits for alerts."""

    backfill_ledger_timeout_s: float = Field(600.0, gt=0, description="how long it waits for the ledger")
    arrival_runs_per_tick: int = Field(5, ge=1, le=100, description="how many backfills new CSV files start at once")
    alert_lag_records: int = Field(100_000, ge=0, description="alert when more records than this wait in Kafka")
    alert_lag_s: float = Field(120.0, gt=0, description="alert when a record waits longer than this")
    alert_quiet_s: float = Field(600.0, gt=0, description="alert when no new row has come for this long")
    alert_webhook_url: SecretStr | None = Field(None, description="where alerts are sent as JSON: Slack, Teams, others")
    dagster_public_url: str | None = Field(None, description="where a browser finds Dagster: the links in alerts")
    alert_dead_letter_ratio: float = Field(0.01, gt=0, le=1, description="alert above this share of dead letters")


class WebserverSettings(PlatformSettings):
    """Dagster's webserver: whether its pages may change anything."""

    dagster_read_only: bool = Field(False, description="Dagster's pages show everything and change nothing")


SETTINGS: tuple[type[PlatformSettings], ...] = (
    ConsumerSettings,
    ProducerSettings,
    LoaderSettings,
    DagsterSettings,
    WebserverSettings,
)

S = TypeVar("S", bound=PlatformSettings)


def known_names() -> frozenset[str]:
    """Returns the names of all environment variables that our programs read."""
    return frozenset(PREFIX + name.upper() for settings in SETTINGS for name in settings.model_fields)


def load(settings: type[S], **overrides: Any) -> S:
    """Reads the settings of one program.

    Args:
        settings: the program's class.
        **overrides: values that win over everything (command-line options); None means not given.

    Raises:
        ConfigError: a name ``RTP_*`` is unknown, a value is not valid, or a source cannot be read. The message never
            contains values.
    """
    given = read()
    _refuse_unknown(given)
    values = {name: value for name, value in given.values.items() if name in settings.model_fields}
    try:
        return settings(**{**values, **{name: value for name, value in overrides.items() if value is not None}})
    except ValidationError as error:
        wrong = "; ".join(_sentence(item["loc"], item["msg"], given) for item in error.errors())
        raise ConfigError(f"settings are not valid: {wrong}") from error


def _refuse_unknown(given: Given) -> None:
    known = known_names()
    unknown = sorted(name for name in given.values if PREFIX + name.upper() not in known)
    if unknown:
        named = ", ".join(f"{PREFIX}{name.upper()} ({given.origins[name]})" for name in unknown)
        raise ConfigError(
            f"unknown settings: {named}. Correct or remove them; the known ones are {', '.join(sorted(known))}"
        )


def _sentence(location: tuple[int | str, ...], message: str, given: Given) -> str:
    name = str(location[0])
    return f"{PREFIX}{name.upper()} ({given.origins.get(name, 'command line')}): {message}"
