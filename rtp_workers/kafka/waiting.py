"""Finds how long records have been waiting in the log, from the broker's time index, without reading a record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import OffsetSpec

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import admin_client, existing, list_offsets

NO_RECORD = -1  # the broker's answer if every record is older than the time asked for


def waiting_s(
    endpoints: Endpoints,
    topic: str,
    next_offsets: Mapping[int, int],
    ages_s: Sequence[float],
    *,
    timeout_s: float = 5.0,
) -> dict[int, float]:
    """Returns for how long the oldest unread record of each partition has been in the log, rounded down to an age.

    The topic's timestamps must be the time of appending. It takes one request for each age, up to the oldest that fits.

    Args:
        endpoints: where Kafka is.
        topic: the topic's name.
        next_offsets: the offset to be read next, by kafka_partition, for partitions with unread records.
        ages_s: the ages to ask about, ascending.
        timeout_s: the timeout of each request.

    Returns:
        Seconds by kafka_partition: the greatest of `ages_s` that the record has reached; 0.0 if it has reached none.

    Raises:
        TransientError: Kafka is away, or the topic does not exist.
        AttentionError: not allowed.
    """
    found = existing(endpoints, topic, timeout_s)
    admin = admin_client(endpoints)
    waiting = dict.fromkeys(next_offsets, 0.0)
    spec: Any = OffsetSpec  # its constructors carry no types
    now_ms = time.time() * 1000
    for age_s in ages_s:
        firsts = list_offsets(admin, found, spec.for_timestamp(int(now_ms - age_s * 1000)), timeout_s)
        older = [
            number
            for number, offset in next_offsets.items()
            if firsts.get(number, 0) == NO_RECORD or firsts.get(number, 0) > offset
        ]
        waiting.update(dict.fromkeys(older, age_s))
        if not older:
            break
    return waiting
