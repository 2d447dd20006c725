"""What every Kafka client of ours shares: its options and the translation of its errors."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from rtp_workers import logs
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError, ConfigError, RecordError, RtpError, TransientError

NEEDS_A_PERSON = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)
NOT_ALLOWED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
LOGIN_REFUSED = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
MISCONFIGURED = frozenset({KafkaError._INVALID_ARG, KafkaError.INVALID_CONFIG, KafkaError.UNSUPPORTED_VERSION})


def client_options(endpoints: Endpoints, client_id: str, **options: Any) -> dict[str, Any]:
    """Returns librdkafka options: ours, then the user's own (TLS, SASL) on top.

    Args:
        endpoints: bootstrap servers and the user's options.
        client_id: shows up in broker logs and quotas.
        **options: librdkafka names with ``_`` for ``.``.
    """
    ours = {name.replace("_", "."): value for name, value in options.items()}
    return {
        "bootstrap.servers": endpoints.need("kafka_bootstrap"),
        "client.id": client_id,
        "logger": logging.getLogger(logs.KAFKA_CLIENT),
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2_000,
        # If a proxy accepts connections while its broker is away, the client would log 20 lines a second.
        "log.connection.close": False,
        **ours,
        **endpoints.kafka_options,
    }


def translate(error: KafkaError | KafkaException, doing: str, *, lacking: str = "") -> RtpError:
    """Translates a client's error into the project's own, by its code and never by its text.

    Args:
        error: what the client raised or reported.
        doing: what was being done to what, e.g. ``"produce to transactions"``.
        lacking: the right that is missing if Kafka refuses the request: operation and resource, e.g.
            ``"Read on topic transactions"``.
    """
    cause = error.args[0] if isinstance(error, KafkaException) else error
    code, text = cause.code(), f"{doing}: {cause.str()}"
    if code in TOO_LARGE:
        return RecordError("message_too_large", f"{text}; shorten the record or raise the topic's max.message.bytes")
    if code in NOT_ALLOWED and lacking:
        return AttentionError(
            f"{text}: this Kafka user has no ACL for {lacking}; add it with kafka-acls --add --allow-principal "
            f"User:<name> {_acl_options(lacking)}"
        )
    if code in LOGIN_REFUSED:
        return AttentionError(
            f"{text}; check sasl.mechanism, sasl.username and sasl.password in RTP_KAFKA_CLIENT_CONFIG"
        )
    if code == KafkaError._SSL:
        return AttentionError(f"{text}; check ssl.ca.location and the other ssl settings in RTP_KAFKA_CLIENT_CONFIG")
    if code in NEEDS_A_PERSON:
        return AttentionError(f"{text}; check the credentials in RTP_KAFKA_CLIENT_CONFIG and the topic's ACLs")
    if code in MISCONFIGURED:
        return ConfigError(f"{text}; check RTP_KAFKA_CLIENT_CONFIG")
    return TransientError(f"{text}; is Kafka up? This is retried automatically")


def _acl_options(lacking: str) -> str:
    """Returns the options of ``kafka-acls`` for ``"<operation> on <topic|group|cluster> <name>"``."""
    operation, _, resource = lacking.partition(" on ")
    kind, _, name = resource.partition(" ")
    return f"--operation {operation} --{kind} {name}".rstrip()
