"""The bodies of the consumer API's requests and answers, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rtp_workers.record.transaction import COPY_COLUMNS

MAX_LIMIT = 1_000
MAX_IDS = 1_000

LetterId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}:[0-9]{1,9}:[0-9]{1,18}$", examples=["AbC123:0:42"])]


class Request(BaseModel):
    """The body of a request: exact types, no unknown members."""

    model_config = ConfigDict(strict=True, extra="forbid")


class PauseWish(Request):
    """Why ingestion is to pause."""

    reason: Annotated[
        str,
        Field(max_length=300, pattern=r"^[^\u0000]*$", description="shown in status, on the page and in `rtp status`"),
    ] = "paused over HTTP"


class ResumeWish(Request):
    """How to continue."""

    accept_holes: bool = Field(
        False,
        description="continue without records that retention deleted before they were stored; they count as skipped",
    )


class ReplaySome(Request):
    """These dead letters, whether sent before or not."""

    ids: list[LetterId] = Field(min_length=1, max_length=MAX_IDS, description="as GET /dead-letters gives them")


class ReplayAll(Request):
    """Every dead letter of one topic that was never sent again."""

    all: Literal[True]
    topic: str | None = Field(
        None,
        max_length=249,
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="a mapped topic; its section converts what is sent to our own topic. Default: our own topic",
    )
    reason: str | None = Field(
        None, max_length=100, pattern=r"^[^\u0000]*$", description="only those refused for this reason code"
    )


class Health(BaseModel):
    """The service is fine, waits for a moment, or was paused by a person. Trouble is a problem with status 503."""

    status: Literal["ok", "waiting", "paused"] = "ok"
    detail: str | None = Field(default=None, description="why it waits or is paused, or another thing to look at")


class Partition(BaseModel):
    """The state of one partition of the topic. Figures from the ledger are null while it cannot be read."""

    kafka_partition: int
    assigned: bool = Field(description="to this process")
    problem: str | None = Field(description="why its records wait; null while they move")
    log_start: int
    log_end: int
    position: int | None = Field(description="the next offset to store; null while it is not known")
    lag_records: int | None
    lag_s: float | None = Field(description="age of the oldest record that waits")
    inserted: int | None
    duplicates: int | None
    dead_lettered: int | None
    skipped: int | None


class Sums(BaseModel):
    """How many offsets ended how."""

    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int


class LedgerSums(Sums):
    """The ledger: sums over the topic as it is now; rows and dead letters are those of the whole tables."""

    offsets: int = Field(description="accounted for: the sum of the other four")
    rows: int = Field(description="that `transactions` must have: all inserted rows minus the purged ones")
    dead_letters: int = Field(description="that `dead_letters` must have")
    purged_rows: int
    purged_dead_letters: int
    last_write_at: str | None = Field(description="RFC 3339; null before the first batch")


class BalanceLine(BaseModel):
    """Whether the ledger balances, and what was compared to say so."""

    balances: bool
    counted: bool = Field(
        description="whether the tables were counted; otherwise only the ledger's own arithmetic was checked"
    )
    says: str
    problems: list[str]
    checked_at_s: float = Field(description="the time of the check, in seconds since the epoch")


class MappedTopic(BaseModel):
    """A topic that is not our own, mapped by a section of the mapping file."""

    topic: str
    topic_id: str | None
    state: Literal["starting", "streaming", "idle", "paused", "stuck", "trouble"]
    problems: dict[str, str]
    partitions: int = Field(description="that this process owns")
    records_per_s: float = Field(description="committed by this process, over ten seconds")
    lag_records: int | None = Field(description="over all partitions; null while a position is not known")
    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int


class Status(BaseModel):
    """What the consumer does now."""

    state: Literal["starting", "streaming", "idle", "paused", "stuck", "trouble"]
    problems: dict[str, str] = Field(description="what keeps records from flowing, by place; empty if nothing does")
    waiting: dict[str, str] = Field(
        description="partitions whose records have been waiting for seconds, with the cause; a problem after 30 s"
    )
    warnings: dict[str, str] = Field(description="what a person should confirm while records flow, by place")
    paused: bool
    paused_reason: str | None
    topic: str
    topic_id: str | None
    group_id: str
    records_per_s: float = Field(description="committed by this process, over the last two seconds")
    lag_records: int | None = Field(description="over all partitions; null while a position is not known")
    lag_s: float | None = Field(description="age of the oldest record that waits")
    latency_p50_s: float | None = Field(
        description="Kafka's append to the commit, over ten seconds; null without records"
    )
    latency_p95_s: float | None
    partitions: list[Partition]
    topics: list[MappedTopic] = Field(description="topics that others write and that are consumed too")
    topics_not_consumed: dict[str, str] = Field(description="wanted topics that are not consumed, with the reason")
    ledger: LedgerSums | None = Field(description="null while PostgreSQL cannot be asked")
    ledger_trouble: str | None = Field(description="why it cannot be asked")
    balance: BalanceLine | None = Field(description="null until it was checked")
    since_start: Sums = Field(description="what this process has committed")
    batches: int
    write_retries: int
    rebalances: int
    unknown_fields: int
    careful_records: int
    uptime_s: float


class History(BaseModel):
    """The last two minutes, as columns of one length, oldest first."""

    at_s: list[float] = Field(description="seconds since the epoch")
    records_per_s: list[float]
    lag_records: list[int | None]
    lag_s: list[float | None]
    latency_p50_s: list[float | None]
    latency_p95_s: list[float | None]


class Pause(BaseModel):
    """The platform-wide pause as it is now; each consumer follows within a second."""

    paused: bool
    reason: str | None


class Hole(BaseModel):
    """Offsets that Kafka no longer had when the consumer reached them."""

    topic_id: str
    kafka_partition: int
    generation: int = Field(description="the life of the partition's log that the offsets belong to")
    from_offset: int
    to_offset: int = Field(description="the first offset after the hole")


class Resumed(Pause):
    """What resuming has done."""

    accepted_holes: list[Hole]
    open_holes: list[Hole] = Field(description="that still wait to be accepted")


class Replayed(BaseModel):
    """What a replay did."""

    replayed: int = Field(description="sent again, acknowledged by Kafka, and marked")
    failed: dict[str, str] = Field(description="by id: why Kafka refused it; it stays as it was")
    unknown: list[str] = Field(description="ids without a dead letter")


class DeadLetter(BaseModel):
    """A refused record."""

    id: str
    topic: str
    kafka_partition: int
    kafka_offset: int
    reason: str = Field(description="short code")
    detail: str
    first_seen_at: str
    replayed_at: str | None
    value_bytes: int | None = Field(description="size of the value; null if the value was null")
    value: str | None = Field(description="its beginning as text; bytes that are not UTF-8 are replaced")
    value_cut: bool


class DeadLetters(BaseModel):
    """The newest dead letters, newest first."""

    dead_letters: list[DeadLetter]


def transactions_schema() -> dict[str, Any]:
    """Returns the JSON schema of GET /transactions' answer, from the declaration."""
    numbers = ("kafka_partition", "kafka_offset")
    properties: dict[str, Any] = {name: {"type": ["string", "null"]} for name in COPY_COLUMNS}
    properties |= {name: {"type": "integer"} for name in numbers}
    properties |= {name: {"type": ["integer", "null"]} for name in ("generation", "load_id")}
    properties["attributes"] = {"type": ["object", "null"]}
    properties["ingested_at"] = {"type": "string", "description": "when it was stored, UTC"}
    row = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "object",
        "title": "Transactions",
        "required": ["transactions"],
        "properties": {"transactions": {"type": "array", "items": row, "description": "newest first"}},
    }
