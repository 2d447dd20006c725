"""Sets passwords and rights of users in a Kafka with SASL/SCRAM and ACLs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.kafka.client import client_options, translate

TIMEOUT_S = 15.0
SCRAM = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
Rights = Mapping[str, tuple[str, ...]]


def grant_access(
    endpoints: Endpoints,
    passwords: Mapping[str, SecretStr],
    topic: str,
    topic_rights: Rights,
    group_id: str,
    group_rights: Rights,
) -> None:
    """Sets the users' passwords and adds their rights. Safe to run again.

    Args:
        endpoints: Kafka, logged in as a user who may alter the cluster.
        passwords: by user. An existing user also gets this password.
        topic: the topic that `topic_rights` apply to.
        topic_rights: by user, names of Kafka's ACL operations (``READ``, ``WRITE``, ...).
        group_id: the group that `group_rights` apply to.
        group_rights: by user, like `topic_rights`.

    Raises:
        TransientError: Kafka is away.
        AttentionError: not allowed.
        ConfigError: Kafka has no authorizer.
    """
    admin = AdminClient(client_options(endpoints, "rtp-access"))
    upserts: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, SCRAM, secret.get_secret_value().encode())
        for user, secret in passwords.items()
    ]
    rights = [
        *_bindings(ResourceType.TOPIC, topic, topic_rights),
        *_bindings(ResourceType.GROUP, group_id, group_rights),
    ]
    try:
        for answer in admin.alter_user_scram_credentials(upserts, request_timeout=TIMEOUT_S).values():
            answer.result(TIMEOUT_S)
        for answer in admin.create_acls(rights, request_timeout=TIMEOUT_S).values():
            answer.result(TIMEOUT_S)
    except TimeoutError as error:
        raise TransientError(f"give users their rights at Kafka: no answer in {TIMEOUT_S:g} s") from error
    except KafkaException as error:
        if error.args[0].code() == KafkaError.SECURITY_DISABLED:
            raise ConfigError(
                "Kafka has no authorizer, so rights cannot be given; set authorizer.class.name at the broker"
            ) from error
        raise translate(error, "give users their rights at Kafka") from error


def _bindings(kind: ResourceType, name: str, rights: Rights) -> Iterable[AclBinding]:
    for user, operations in rights.items():
        for operation in operations:
            yield AclBinding(
                kind,
                name,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
