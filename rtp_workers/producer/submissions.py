"""A caller's own transactions: checked as a whole, sent, and answered once Kafka has acknowledged each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from rtp_workers.errors import RecordError, RtpError
from rtp_workers.kafka.record_producer import MAX_RECORD_BYTES, OnAck, record_headers
from rtp_workers.producer.kafka_link import KafkaLink
from rtp_workers.record import codec
from rtp_workers.record.transaction import FIELD_NAMES, Transaction
from rtp_workers.web.problems import MAX_FINDINGS, Finding, Problem

# The topic's own limit counts key, headers and framing too.
MAX_ITEM_BYTES = MAX_RECORD_BYTES - 4_096
UNKNOWN_OUTCOME = "the outcome is unknown: send the same transactions again with the same ids; nothing is stored twice"

_ONE = msgspec.json.Decoder(msgspec.Raw)
_MANY = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Submission:
    """One transaction, ready to be sent: the caller's own JSON, so that nothing is rounded on the way."""

    transaction_id: str
    key: bytes
    value: bytes


def parse(body: bytes) -> tuple[list[Submission], bool]:
    """Checks a request's body: one transaction, or a list of them, which is accepted or refused as a whole.

    Returns:
        The submissions, and whether a list was sent.

    Raises:
        Problem: 422, with the index (in a list) and the field of each finding.
    """
    try:
        is_list = body.lstrip()[:1] == b"["
        items = _MANY.decode(body) if is_list else [_ONE.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(422, f"the body is not JSON: {error}; send a transaction, or a list of them") from error
    if not items:
        raise Problem(422, "the list is empty; send at least one transaction")
    submissions: list[Submission] = []
    findings: list[Finding] = []
    for index, item in enumerate(items):
        try:
            submissions.append(_submission(bytes(item)))
        except RecordError as error:
            findings.append(Finding(index=index if is_list else None, field=error.field, message=error.detail))
    if findings:
        raise _refusal(findings, len(items))
    return submissions, is_list


def _refusal(findings: Sequence[Finding], items: int) -> Problem:
    first = findings[0]
    where = f"transaction {first.index}" if first.index is not None else "the transaction"
    some = f"{len(findings)} of {items} transactions are wrong, so none was sent; " if first.index is not None else ""
    return Problem(422, f"{some}{where}: {first.message}", errors=findings[:MAX_FINDINGS])


def _submission(value: bytes) -> Submission:
    if len(value) > MAX_ITEM_BYTES:
        raise RecordError("message_too_large", f"it has {len(value):,} bytes; {MAX_ITEM_BYTES:,} are allowed")
    texts = dict(zip(FIELD_NAMES, codec.decode(value).texts, strict=True))
    attributes = texts.pop("attributes")
    transaction = msgspec.convert(
        {**texts, "attributes": msgspec.json.decode(attributes) if attributes is not None else None}, Transaction
    )
    codec.check(transaction)
    return Submission(transaction.transaction_id, codec.record_key(transaction), value)


class Placed(msgspec.Struct, frozen=True):
    """Where Kafka has put a transaction."""

    transaction_id: str
    kafka_partition: int
    kafka_offset: int


class _Awaited:
    """The answers to one request's records. Filled by the loop's thread, awaited by the API's."""

    def __init__(self, submissions: Sequence[Submission]) -> None:
        self._loop = asyncio.get_running_loop()
        self._placed: list[Placed | None] = [None] * len(submissions)
        self._submissions = submissions
        self._left = len(submissions)
        self.done: asyncio.Future[list[Placed]] = self._loop.create_future()

    def answered(self, index: int, error: RtpError | None, kafka_partition: int, kafka_offset: int) -> None:
        """Notes Kafka's answer to one record; called from the loop's thread."""
        if error is None:
            self._placed[index] = Placed(self._submissions[index].transaction_id, kafka_partition, kafka_offset)
        self._left -= 1
        if error is not None or self._left == 0:
            try:
                self._loop.call_soon_threadsafe(self._settle, error)
            except RuntimeError:  # the API has stopped; nobody waits any more
                return

    def _settle(self, error: RtpError | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result([placed for placed in self._placed if placed is not None])


class Submitter:
    """Sends callers' transactions through the producer's own link to Kafka.

    Attributes:
        acknowledged: how many Kafka has acknowledged.
    """

    def __init__(self, link: KafkaLink, timeout_s: float) -> None:
        self.acknowledged = 0
        self._link = link
        self._timeout_s = timeout_s

    async def submit(self, submissions: Sequence[Submission]) -> list[Placed]:
        """Sends them and waits until Kafka has acknowledged every one.

        Raises:
            Problem: 503, Kafka did not answer in time, or refused one: the outcome is unknown.
        """
        awaited = _Awaited(submissions)
        headers = record_headers("api")
        try:
            for index, submission in enumerate(submissions):
                self._link.send(submission.value, submission.key, headers, self._report(awaited, index))
            async with asyncio.timeout(self._timeout_s):
                return await awaited.done
        except TimeoutError as error:
            raise Problem(503, f"Kafka did not answer within {self._timeout_s:g} s; {UNKNOWN_OUTCOME}") from error
        except RtpError as error:
            raise Problem(503, f"{error}; {UNKNOWN_OUTCOME}") from error

    def _report(self, awaited: _Awaited, index: int) -> OnAck:
        def on_ack(error: RtpError | None, kafka_partition: int, kafka_offset: int) -> None:
            if error is None:
                self.acknowledged += 1
            awaited.answered(index, error, kafka_partition, kafka_offset)

        return on_ack
