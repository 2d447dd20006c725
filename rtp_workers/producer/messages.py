"""The bodies of the API's requests and answers, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rtp_workers.record.transaction import FIELDS
from rtp_workers.record.transaction import Field as RecordField

MAX_RATE_PER_S = 1_000_000

# JSON Schema counts 8393.0 as an integer, and so does this.
Whole = Annotated[int, BeforeValidator(lambda value: int(value) if _is_whole(value) else value)]
Share = Annotated[float, Field(ge=0, le=1)]


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


class Request(BaseModel):
    """A request's body, with exact types and no unknown members."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Rate(Request):
    """The target rate."""

    records_per_s: float = Field(
        ge=0.01, le=MAX_RATE_PER_S, description="average number of records per second", examples=[500]
    )


class Burst(Request):
    """Records to be sent at once, in addition to the rate."""

    records: Whole = Field(
        ge=1, le=10_000_000, description="added to what is left of an earlier burst", examples=[10_000]
    )


class ChaosRatios(Request):
    """Shares of all records sent. Those left out are 0. If they add up to more than 1, all shrink alike."""

    duplicate: Share = Field(0.0, description="sent a second time, unchanged: counted as duplicates", examples=[0.01])
    late: Share = Field(0.0, description="happened an hour to three days earlier: stored as rows", examples=[0.01])
    corrupt: Share = Field(0.0, description="cannot be read: they become dead letters", examples=[0.001])


class Generated(BaseModel):
    """Records handed to Kafka's client since the start, by kind."""

    records: int
    fresh: int
    duplicate: int
    late: int
    corrupt: int


class Status(BaseModel):
    """What the producer does now."""

    state: Literal["running", "stopped", "waiting", "ended"] = Field(description="waiting: Kafka does not answer")
    kafka_trouble: str | None = Field(description="why nothing is sent now; null while Kafka answers")
    topic: str
    target_records_per_s: float | None
    acknowledged_records_per_s: float = Field(description="over the last two seconds")
    running: bool
    burst_left: int
    chaos: ChaosRatios
    generated: Generated
    acknowledged: int = Field(description="by Kafka, since the start; generated records and the API's")
    acknowledged_from_api: int
    failed: int
    outstanding: int = Field(description="handed over, not yet acknowledged")
    uptime_s: float


class History(BaseModel):
    """The last two minutes, as columns of the same length, oldest first."""

    at_s: list[float] = Field(description="seconds since the epoch")
    target_records_per_s: list[float]
    acknowledged_records_per_s: list[float]


class Placement(BaseModel):
    """Where Kafka has put a transaction."""

    transaction_id: str
    kafka_partition: int
    kafka_offset: int


class Acknowledged(BaseModel):
    """Kafka has every one of them, on all in-sync replicas."""

    topic: str
    acknowledged: list[Placement] = Field(description="in the order in which they were sent")


class Health(BaseModel):
    """All is well. Otherwise the answer is a problem with status 503."""

    status: Literal["ok"] = "ok"


def transaction_schema() -> dict[str, Any]:
    """Returns the JSON schema of a transaction, from its declaration."""
    return {
        "type": "object",
        "title": "Transaction",
        "required": [field.name for field in FIELDS if field.required],
        "properties": {field.name: _field_schema(field) for field in FIELDS},
        "example": {
            "transaction_id": "order-1001",
            "occurred_at": "2026-01-31T13:45:00+01:00",
            "amount": "12.50",
            "customer_id": "C-17",
            "currency": "EUR",
        },
    }


def transactions_schema() -> dict[str, Any]:
    """Returns the schema of what POST /transactions takes: one transaction, or a list."""
    many = {"type": "array", "items": transaction_schema(), "minItems": 1}
    return {"anyOf": [transaction_schema(), many]}


NO_NUL = r"^[^\u0000]*$"
ATTRIBUTE_SCHEMAS: dict[str, dict[str, Any]] = {
    "Attributes": {
        "type": "object",
        "description": "what the source knows beyond the other fields; at most 8 KB as JSON, without U+0000",
        "propertyNames": {"pattern": NO_NUL},
        "additionalProperties": {"$ref": "#/components/schemas/AttributeValue"},
    },
    "AttributeValue": {
        "anyOf": [
            {"type": ["number", "boolean", "null"]},
            {"type": "string", "pattern": NO_NUL},
            {"type": "array", "items": {"$ref": "#/components/schemas/AttributeValue"}},
            {"$ref": "#/components/schemas/Attributes"},
        ]
    },
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# Every day that each month always has. A pattern cannot judge the 29th of February; the service does.
_DATE = r"(19\d\d|20\d\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
INSTANT_PATTERN = rf"^{_DATE}T{_CLOCK}(Z|[+-](0\d|1[0-5]):[0-5]\d)$"


def _field_schema(field: RecordField) -> dict[str, Any]:
    rule = field.rule
    if field.name == "amount":
        return _amount_schema(rule.meaning)
    schema: dict[str, Any] = {"description": rule.meaning}
    if field.name == "occurred_at":
        return {**schema, "type": "string", "pattern": INSTANT_PATTERN}
    if field.name == "attributes":
        return {**schema, "anyOf": [_ref("Attributes"), {"type": "null"}]}
    schema["type"] = "string" if field.required else ["string", "null"]
    if rule.pattern:
        return {**schema, "pattern": f"^{rule.pattern}$"}
    if rule.min_length:
        schema["minLength"] = rule.min_length
    if rule.max_length:
        schema["maxLength"] = rule.max_length
    schema["pattern"] = NO_NUL if rule.controls else r"^[^\u0000-\u001f\u007f-\u009f]*$"
    return schema


def _amount_schema(meaning: str) -> dict[str, Any]:
    """Returns the safe forms. More is accepted: any number with few enough digits as written.

    A client that holds 12.1 as a binary float may send 12.100000000000001. So the schema promises numbers only if such
    a float is exact (multiples of 2**-10), and text always.
    """
    return {
        "description": f"{meaning}; as text, or as a number that a binary float holds exactly",
        "anyOf": [
            {"type": "string", "pattern": r"^-?[0-9]{1,20}(\.[0-9]{1,12})?$"},
            {"type": "number", "multipleOf": 2**-10, "exclusiveMinimum": -1e20, "exclusiveMaximum": 1e20},
        ],
    }
