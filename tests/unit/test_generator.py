"""What the generated stream promises, seen through the codec that every reader uses."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from rtp_workers.errors import ConfigError, RecordError
from rtp_workers.generator.chaos import CORRUPTIONS, Chaos, Counts
from rtp_workers.generator.stream import Generator, World
from rtp_workers.record import codec
from rtp_workers.record.transaction import Transaction

START = datetime(2025, 3, 3, tzinfo=UTC)
PAST = World(seed=7, start=START, speed=60)
NOW_US = 1_767_225_600_000_000


def decoded(values: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(value) for value in values]


def occurred(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["occurred_at"])


def test_same_seed_start_and_speed_give_the_same_bytes_however_they_are_read() -> None:
    whole = Generator(PAST).take(9_000, NOW_US)
    parts = Generator(PAST)
    batches = [parts.take(size, NOW_US + size) for size in (1, 2, 4_093, 3, 4_000, 901)]
    assert [value for batch in batches for value in batch.values] == whole.values
    assert [key for batch in batches for key in batch.keys] == whole.keys


def test_chaos_is_reproducible_too() -> None:
    chaos = Chaos(duplicate=0.1, late=0.1, corrupt=0.1)
    whole = Generator(PAST, chaos).take(6_000, NOW_US)
    parts = Generator(PAST, chaos)
    batches = [parts.take(1_000, NOW_US) for _ in range(6)]
    assert [value for batch in batches for value in batch.values] == whole.values
    assert sum((batch.counts for batch in batches), Counts()) == whole.counts


@pytest.mark.parametrize("other", [World(8, START, 60), World(7, START + timedelta(days=1), 60), World(7, START, 61)])
def test_another_seed_start_or_speed_gives_other_records(other: World) -> None:
    assert Generator(PAST).take(100, NOW_US).values != Generator(other).take(100, NOW_US).values


def test_without_a_seed_two_generators_never_share_an_id() -> None:
    ids = [
        {record["transaction_id"] for record in decoded(Generator(World()).take(5_000, NOW_US).values)} for _ in "ab"
    ]
    assert len(ids[0]) == len(ids[1]) == 5_000
    assert not ids[0] & ids[1]


def test_bodies_are_exactly_what_the_codec_writes() -> None:
    batch = Generator(PAST).take(20_000, NOW_US)
    for key, value in zip(batch.keys, batch.values, strict=True):
        transaction = msgspec.json.decode(value, type=Transaction)
        codec.check(transaction)
        codec.decode(value)
        assert codec.encode(transaction) == value
        assert codec.record_key(transaction) == key


def test_ids_are_version_7_and_ascend_with_the_stream() -> None:
    ids = [record["transaction_id"] for record in decoded(Generator(World(seed=1)).take(5_000, NOW_US).values)]
    assert ids == sorted(ids)
    assert {(uuid.UUID(text).version, uuid.UUID(text).variant) for text in ids} == {(7, uuid.RFC_4122)}
    assert uuid.UUID(ids[-1]).int >> 80 == NOW_US // 1000


def test_event_time_is_now_where_no_start_is_given() -> None:
    generator = Generator(World(seed=1))
    generator.take(10, NOW_US)
    later = decoded(generator.take(1_000, NOW_US + 400_000).values)
    seconds = [occurred(record).timestamp() - NOW_US / 1e6 for record in later]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < 0.001
    assert seconds[-1] == pytest.approx(0.4, abs=1e-5)


def test_event_time_stays_ordered_when_the_clock_is_set_back() -> None:
    generator = Generator(World(seed=1))
    first = decoded(generator.take(10, NOW_US).values)
    second = decoded(generator.take(10, NOW_US - 3_600_000_000).values)
    assert occurred(first[-1]) < occurred(second[0]) < occurred(second[-1])


def test_warped_time_runs_at_its_speed_over_a_week() -> None:
    records = 7 * 24 * 3_600 * 50 // 4_000
    values = Generator(World(seed=3, start=START, speed=4_000)).take(records, NOW_US).values
    elapsed = occurred(json.loads(values[-1])) - START
    assert elapsed.total_seconds() == pytest.approx(7 * 24 * 3_600, rel=0.05)


def test_nights_are_quiet_and_weekends_start_later() -> None:
    records = decoded(Generator(World(seed=3, start=START, speed=10_000)).take(40_000, NOW_US).values)
    at_home = [occurred(record) for record in records if record["country"] == "DE" and record["status"] == "booked"]
    hours = Counter(time.hour for time in at_home if time.weekday() < 5)
    assert hours[16] > 10 * hours[2]
    mornings = {
        weekend: sum((t.weekday() > 4) is weekend and t.hour == 6 for t in at_home) for weekend in (False, True)
    }
    assert mornings[False] / 5 > 2 * mornings[True] / 2


def test_amounts_are_log_normal_by_category() -> None:
    records = decoded(Generator(World(seed=3)).take(40_000, NOW_US).values)
    for category, median, sigma in (("groceries", 27, 0.65), ("fuel", 52, 0.35)):
        amounts = [
            float(record["amount"])
            for record in records
            if (record["category"], record["currency"], record["status"]) == (category, "EUR", "booked")
        ]
        logs = np.log(amounts)
        assert np.exp(np.median(logs)) == pytest.approx(median, rel=0.15)
        assert logs.std() == pytest.approx(sigma, rel=0.15)
        assert abs(((logs - logs.mean()) ** 3).mean() / logs.std() ** 3) < 0.35


def test_few_customers_and_merchants_make_much_of_the_traffic() -> None:
    records = decoded(Generator(World(seed=3)).take(20_000, NOW_US).values)
    for field, share in (("customer_id", 0.2), ("merchant", 0.2)):
        counts = Counter(record[field] for record in records).most_common()
        top = sum(count for _, count in counts[: len(counts) // 20])
        assert top > share * len(records)


def test_a_customer_pays_in_one_currency_and_mostly_at_home() -> None:
    records = decoded(Generator(World(seed=3)).take(20_000, NOW_US).values)
    currencies: dict[str, set[str]] = {}
    for record in records:
        currencies.setdefault(record["customer_id"], set()).add(record["currency"])
    assert all(len(found) == 1 for found in currencies.values())
    home = sum(record["customer_id"][:2] == record["country"] for record in records) / len(records)
    assert 0.9 < home < 0.99
    assert {record["amount"].count(".") for record in records if record["currency"] == "JPY"} == {0}


def test_a_refund_gives_back_an_earlier_purchase_once() -> None:
    records = decoded(Generator(World(seed=3)).take(60_000, NOW_US).values)
    earlier: dict[str, dict[str, Any]] = {}
    given_back: set[str] = set()
    for record in records:
        if record["status"] == "refunded":
            purchase = earlier[record["attributes"]["refund_of"]]
            assert purchase["status"] == "booked"
            assert -float(purchase["amount"]) <= float(record["amount"]) < 0
            for field in ("customer_id", "merchant", "currency", "payment_method", "country", "category"):
                assert purchase[field] == record[field]
            assert purchase["transaction_id"] not in given_back
            given_back.add(purchase["transaction_id"])
        else:
            assert float(record["amount"]) > 0
        earlier[record["transaction_id"]] = record
    assert 0.01 < len(given_back) / len(records) < 0.03


def test_some_purchases_are_declined_large_ones_more_often() -> None:
    records = decoded(Generator(World(seed=3)).take(40_000, NOW_US).values)
    euros = [record for record in records if record["currency"] == "EUR" and record["status"] != "refunded"]
    shares = []
    for low, high in ((0, 25), (200, 1e9)):
        within = [record["status"] for record in euros if low <= float(record["amount"]) < high]
        shares.append(within.count("declined") / len(within))
    assert 0 < shares[0] < 0.03 < shares[1]


def test_fraud_bursts_test_a_card_with_small_amounts_before_a_large_one() -> None:
    records = decoded(Generator(World(seed=3)).take(40_000, NOW_US).values)
    bursts = 0
    small: Counter[str] = Counter()
    for record in records:
        online = record["category"] == "online_shopping" and record["payment_method"] == "card"
        if online and record["currency"] == "EUR" and float(record["amount"]) <= 3:
            small[record["customer_id"]] += 1
        elif online and float(record["amount"]) >= 600 and small[record["customer_id"]] >= 7:
            bursts += 1
    assert bursts >= 3


def test_each_corruption_is_a_dead_letter_whatever_it_breaks() -> None:
    values = Generator(World(seed=5)).take(500, NOW_US).values
    reasons = set()
    for corrupt in CORRUPTIONS:
        for value in values:
            with pytest.raises(RecordError) as refused:
                codec.decode(corrupt(value))
            reasons.add(refused.value.reason)
    assert len(reasons) == len(CORRUPTIONS)


def test_every_kind_of_chaos_is_counted_exactly() -> None:
    batch = Generator(World(seed=5), Chaos(duplicate=0.05, late=0.03, corrupt=0.02)).take(30_000, NOW_US)
    seen: set[bytes] = set()
    found: Counter[str] = Counter()
    for value in batch.values:
        try:
            happened = datetime.fromisoformat(str(codec.decode(value).texts[1]))
        except RecordError:
            found["corrupt"] += 1
            continue
        late = happened < datetime.fromtimestamp(NOW_US / 1e6 - 3_000, UTC)
        found["duplicate" if value in seen else "late" if late else "fresh"] += 1
        seen.add(value)
    assert found == {name: getattr(batch.counts, name) for name in ("fresh", "duplicate", "late", "corrupt")}
    assert found["duplicate"] == pytest.approx(1_500, rel=0.15)
    assert found["late"] == pytest.approx(900, rel=0.15)
    assert found["corrupt"] == pytest.approx(600, rel=0.15)
    assert batch.counts.records == 30_000


def test_nothing_but_duplicates_still_starts_with_a_first_record() -> None:
    batch = Generator(World(seed=5), Chaos(duplicate=1)).take(50, NOW_US)
    assert len(set(batch.values)) == 1
    assert (batch.counts.fresh, batch.counts.duplicate) == (1, 49)


def test_chaos_switched_off_leaves_a_clean_stream() -> None:
    generator = Generator(World(seed=5), Chaos(corrupt=0.5))
    generator.take(100, NOW_US)
    generator.chaos = Chaos()
    batch = generator.take(1_000, NOW_US)
    assert batch.counts == Counts(records=1_000, fresh=1_000)
    for value in batch.values:
        codec.decode(value)


@pytest.mark.parametrize(("duplicate", "corrupt"), [(-0.1, 0.0), (0.0, 1.1), (float("nan"), 0.0)])
def test_ratios_that_do_not_fit_are_refused(duplicate: float, corrupt: float) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        Chaos(duplicate=duplicate, corrupt=corrupt)


def test_ratios_beyond_the_whole_shrink_alike() -> None:
    counts = Generator(World(seed=5), Chaos(duplicate=1, late=0.5, corrupt=0.5)).take(10_000, NOW_US).counts
    assert counts.duplicate == pytest.approx(5_000, rel=0.1)
    assert counts.late == pytest.approx(2_500, rel=0.1)
    assert counts.corrupt == pytest.approx(2_500, rel=0.1)


@pytest.mark.parametrize(
    ("start", "speed", "said"),
    [
        (datetime(2025, 1, 1), 1.0, "no offset"),
        (datetime(1950, 1, 1, tzinfo=UTC), 1.0, "1970 to 2099"),
        (START, 0.0, "above 0"),
    ],
)
def test_a_world_that_does_not_fit_is_refused(start: datetime, speed: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        World(seed=1, start=start, speed=speed)


def test_event_time_that_runs_out_of_the_calendar_is_an_error_not_a_dead_letter() -> None:
    generator = Generator(World(seed=1, start=START, speed=1e6))
    with pytest.raises(ConfigError, match="2100"):
        generator.take(200_000, NOW_US)
