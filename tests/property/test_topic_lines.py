"""A batch of documents and one document at a time give the same rows, refusals and attributes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_workers.errors import RecordError
from rtp_workers.record.copy_text import NULL, escape
from rtp_workers.record.transaction import FIELD_NAMES
from rtp_workers.topics.convert import TopicConverter
from rtp_workers.topics.extract import Extractor
from rtp_workers.topics.paths import Path
from tests.topic_records import PlacedRecord, converter_of

SECTIONS = (
    """
    columns.transaction_id = "id"
    columns.occurred_at = "at"
    columns.amount = "pay.amount"
    columns.currency = "pay.currency"
    columns.merchant = ["pay.shop.name", "pay.shop.alias"]
    columns.country = "pay.shop.country"
    drop = ["card.number"]
    """,
    """
    columns.transaction_id = ["pay.no", "id"]
    columns.date = "at"
    columns.amount = "pay.amount"
    columns.direction = "pay.way"
    columns.customer_id = "pay.list[0].who"
    amount_unit = "minor"
    columns.currency = "pay.currency"
    """,
    'columns.amount = "pay.amount"\nid = "derived"\noccurred_at = "kafka_timestamp"\nsign = "negate"\n',
    """
    columns.debit = "pay.amount"
    columns.credit = "pay.no"
    columns.occurred_at = "at"
    epoch_unit = "ms"
    id = "offset"
    """,
)
CONVERTERS = [converter_of(section) for section in SECTIONS]

texts = st.one_of(st.text(max_size=8), st.sampled_from(["\\N", "a\tb", "a\nb", "\\", "x" * 70, "x" * 600, " padded "]))
numbers = st.one_of(
    st.integers(-(10**25), 10**25), st.decimals(allow_nan=False, allow_infinity=False, places=4).map(float)
)
scalars = st.one_of(st.none(), st.booleans(), texts, numbers)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
instants = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(["2026-01-31T13:45:00.25+01:00", "2026-01-31", "31/01/2026", 1769867100250, "1769867100250", ""]),
    anything,
)
amounts = st.one_of(st.sampled_from(["12.50", 1999, "-3", "1,5", "0.1234567890123"]), numbers, anything)


def member(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what it should be; sometimes absent or something else."""
    return st.one_of(values, values, values, st.just(...), anything)


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    found = st.fixed_dictionaries({name: member(values) for name, values in members.items()})
    return found.map(lambda made: {name: value for name, value in made.items() if value is not ...})


shops = objects(name=texts, alias=texts, country=st.sampled_from(["DE", "Germany", "Atlantis", "us", ""]))
pays = objects(
    amount=amounts,
    currency=st.sampled_from(["EUR", "jpy", "KWD", "nope", ""]),
    shop=shops,
    way=st.sampled_from(["debit", "credit", "D", "?"]),
    no=st.one_of(st.integers(0, 99), texts),
    list=st.lists(objects(who=texts), max_size=2),
)
documents = objects(id=texts, at=instants, pay=pays, card=objects(number=texts), more=anything)
SCHEMAS = (
    None,
    {"type": "struct", "fields": [{"field": "id", "type": "string"}]},
    {
        "type": "struct",
        "fields": [
            {"field": "at", "type": "int32", "name": "io.debezium.time.Date"},
            {"field": "pay", "type": "struct", "fields": [
                {"field": "amount", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}},
            ]},
        ],
    },
)  # fmt: skip
events = st.tuples(st.sampled_from(["c", "r", "u", "d", "t", "m", 5]), st.none() | documents).map(
    lambda made: {"before": None, "after": made[1], "source": {"db": "bank"}, "op": made[0], "ts_ms": 1}
)
values = st.one_of(
    documents.map(lambda made: json.dumps(made).encode(errors="surrogatepass")),
    documents.map(lambda made: json.dumps(made, ensure_ascii=False, indent=1).encode(errors="surrogatepass")),
    documents.map(lambda made: json.dumps({"schema": {}, "payload": made}).encode(errors="surrogatepass")),
    st.tuples(st.sampled_from(SCHEMAS), documents | events).map(
        lambda made: json.dumps({"schema": made[0], "payload": made[1]}).encode(errors="surrogatepass")
    ),
    events.map(lambda made: json.dumps(made).encode(errors="surrogatepass")),
    st.sampled_from([None, b"", b"[]", b"{", b"{}", b'{"op":"u","source":{},"after":{}}']),
)


def stored(line: str) -> tuple[Any, ...]:
    """Returns a COPY line as PostgreSQL stores it: jsonb knows neither blanks nor the order of members."""
    *cells, attributes = line.split("\t")
    plain = attributes.replace("\\\\", "\\")
    return *cells, None if plain == NULL else json.loads(plain, parse_float=lambda literal: ("number", literal))


def one_by_one(converter: TopicConverter, batch: list[bytes | None], records: list[PlacedRecord]) -> list[Any]:
    found: list[Any] = []
    for value, record in zip(batch, records, strict=True):
        try:
            fields = converter.record(value, record)
        except RecordError as error:
            found.append((error.reason, error.detail))
            continue
        cells = [fields.get(name, NULL) for name in FIELD_NAMES]
        line = "\t".join(
            cell if cell is NULL else escape(cell if isinstance(cell, str) else cell.decode()) for cell in cells
        )
        found.append(stored(line))
    return found


@settings(max_examples=60)
@given(st.sampled_from(CONVERTERS), st.lists(values, min_size=1, max_size=8))
def test_a_batch_gives_what_each_of_its_records_gives(converter: TopicConverter, batch: list[bytes | None]) -> None:
    records = [PlacedRecord(at % 3, at, 1_769_867_100_000 + at) for at in range(len(batch))]
    alone = one_by_one(converter, batch, records)
    # The second time, the members of the batch are known.
    for mapped in (converter.lines(batch, records), converter.lines(batch, records)):
        refused = {refusal.index: (refusal.reason, refusal.detail) for refusal in mapped.refusals}
        together = [refused[index] if line is None else stored(line) for index, line in enumerate(mapped.lines)]
        assert together == alone
        assert {index for index, line in enumerate(mapped.lines) if line is None} == refused.keys()


names = st.sampled_from("abc")
paths: st.SearchStrategy[Path] = st.lists(st.one_of(names, names, st.integers(0, 1)), min_size=1, max_size=3).map(tuple)
trees = st.recursive(
    st.one_of(st.none(), st.integers(0, 9)),
    lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(names, trees, max_size=3), max_size=4),
    st.lists(st.tuples(paths, st.booleans()), max_size=4, unique_by=lambda pair: pair[0]),
    st.lists(paths, max_size=2),
)
def test_columns_hold_what_each_document_holds(
    batch: list[dict[str, Any]], wanted: list[tuple[Path, bool]], dropped: list[Path]
) -> None:
    extractor = Extractor([path for path, _ in wanted], [stays for _, stays in wanted], dropped)
    copies = json.loads(json.dumps(batch))
    columns = extractor.columns(batch)
    rows = [extractor.values(document) for document in copies]
    assert [list(row) for row in zip(*columns, strict=True)] == (rows if wanted else [])
    assert batch == copies
