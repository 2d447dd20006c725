"""The consumer's HTTP API beside a running loop, on a real Kafka and PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Stack, StartRtp
from tests.consumer_answers import readiness, status
from tests.programs import RunningProgram
from tests.reading import assert_balanced, dead_letters, ledger_sums, query, wait_for_ledger
from tests.records import body, produce
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

REFUSED = [b"nonsense", None, body("x", amount="1,5")]


def listed(api: httpx.Client, path: str, number: int) -> list[dict[str, Any]]:
    """Waits until a listing has so many items (answers are up to a second old), and returns them."""

    def look() -> list[dict[str, Any]]:
        answer = api.get(path, params={"limit": 1000})
        assert answer.status_code == 200
        (items,) = answer.json().values()
        return items if len(items) == number else []

    return wait_until(look, what=f"{number} items in {path}")


def test_status_accounts_for_every_offset(service: RunningProgram, stack: Stack, api: httpx.Client) -> None:
    produce(stack, [body(f"t{number}") for number in range(50)])
    produce(stack, [*REFUSED, body("t1"), body("t2", amount="99")], kafka_partition=1)
    wait_for_ledger(stack)
    wait_until(lambda: status(api)["ledger"]["offsets"] == 55, what="all in the status")
    found = status(api)
    assert {name: found["ledger"][name] for name in ledger_sums(stack)} == ledger_sums(stack)
    assert (found["ledger"]["rows"], found["ledger"]["dead_letters"]) == (50, 4)
    assert found["lag_records"] == 0
    assert found["lag_s"] == 0
    by_number = {partition["kafka_partition"]: partition for partition in found["partitions"]}
    assert len(by_number) == 6
    assert all(partition["assigned"] for partition in by_number.values())
    assert (by_number[0]["position"], by_number[0]["log_end"], by_number[0]["inserted"]) == (50, 50, 50)
    assert (by_number[1]["position"], by_number[1]["duplicates"], by_number[1]["dead_lettered"]) == (5, 1, 4)
    assert found["since_start"] == ledger_sums(stack)
    assert found["problems"] == {}


def test_the_balance_line_counts_tables_and_notices_a_row_that_is_gone(
    service: RunningProgram, stack: Stack, api: httpx.Client
) -> None:
    produce(stack, [body(f"t{number}") for number in range(7)])
    wait_for_ledger(stack)

    def says(text: str) -> dict[str, Any]:
        balance: dict[str, Any] = status(api)["balance"] or {"says": ""}
        return balance if text in balance["says"] else {}

    balance = wait_until(lambda: says("7 rows counted = 7 inserted"), what="a balance of seven rows")
    assert balance["balances"]
    assert balance["counted"]
    query(stack, "delete from transactions where transaction_id = 't3'")
    balance = wait_until(lambda: says("deleted by something other"), timeout_s=60, what="the missing row on the page")
    assert not balance["balances"]
    assert len(balance["problems"]) == 1


def test_paused_it_lags_through_a_restart_until_resumed(
    service: RunningProgram, stack: Stack, api: httpx.Client, start_rtp: StartRtp
) -> None:
    answer = api.post("/pause", json={"reason": "upgrade of the disk"})
    assert answer.json() == {"paused": True, "reason": "upgrade of the disk"}
    wait_until(lambda: status(api)["state"] == "paused", what="the pause")
    produce(stack, [body(f"t{number}") for number in range(20)])
    wait_until(lambda: status(api)["lag_records"] == 20, what="the lag")
    wait_until(lambda: status(api)["lag_s"] >= 1, what="an age of what waits")
    code, reason = readiness(api)
    assert code == 200, "a probe must not take a consumer out of service because a person paused it"
    assert "upgrade of the disk" in reason
    service.signal(signal.SIGTERM)
    assert service.wait(120) == 0

    start_rtp("consume", env=stack.env)
    wait_until(lambda: "upgrade of the disk" in readiness(api)[1], timeout_s=60, what="the pause after a restart")
    wait_until(lambda: status(api)["lag_records"] == 20, what="the lag after a restart")
    assert query(stack, "select count(*) as rows from transactions")[0]["rows"] == 0

    assert api.post("/resume").json() == {"paused": False, "reason": None, "accepted_holes": [], "open_holes": []}
    wait_for_ledger(stack)
    wait_until(lambda: status(api)["lag_records"] == 0 and readiness(api)[0] == 200, what="the end of the lag")
    assert query(stack, "select count(*) as rows from transactions")[0]["rows"] == 20


def test_the_latest_rows_come_newest_first_and_exact(service: RunningProgram, stack: Stack, api: httpx.Client) -> None:
    produce(stack, [body("first", amount="12345678901234567890.123456789012", merchant='a "b" \\ \t ☃')])
    wait_for_ledger(stack)
    produce(stack, [body(f"t{number}", customer_id=..., attributes={"n": 2**60 + 1}) for number in range(60)])
    wait_for_ledger(stack)
    rows = listed(api, "/transactions", 61)
    assert [row["transaction_id"] for row in rows] == [*(f"t{number}" for number in reversed(range(60))), "first"]
    assert rows[0]["attributes"] == {"n": 2**60 + 1}
    assert rows[0]["customer_id"] is None
    first = rows[-1]
    assert first["amount"] == "12345678901234567890.123456789012"
    assert first["merchant"] == 'a "b" \\ \t ☃'
    assert first["occurred_at"] == "2026-01-31T12:45:00.250000Z"
    assert (first["kafka_partition"], first["kafka_offset"], first["source"]) == (0, 0, "test")
    assert len(api.get("/transactions").json()["transactions"]) == 50
    assert api.get("/transactions", params={"limit": 1}).json()["transactions"] == rows[:1]


@pytest.mark.parametrize("path", ["/transactions", "/dead-letters"])
@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "1e2", ""])
def test_a_limit_out_of_bounds_is_refused(path: str, limit: str, service: RunningProgram, api: httpx.Client) -> None:
    answer = api.get(path, params={"limit": limit})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "limit" in answer.json()["detail"]


def test_dead_letters_show_why_and_the_beginning_of_the_value(
    service: RunningProgram, stack: Stack, api: httpx.Client
) -> None:
    produce(stack, [*REFUSED, b"\xff\x00" + b"z" * 5_000])
    wait_for_ledger(stack)
    letters = listed(api, "/dead-letters", 4)
    stored = {row["kafka_offset"]: row for row in dead_letters(stack)}
    assert [letter["kafka_offset"] for letter in letters] == [3, 2, 1, 0]
    for letter in letters:
        row = stored[letter["kafka_offset"]]
        assert letter["id"] == f"{row['topic_id']}:0:{row['kafka_offset']}"
        assert (letter["reason"], letter["detail"]) == (row["reason"], row["detail"])
        assert letter["replayed_at"] is None
    long, wrong, empty, text = letters
    assert long["value"] == "�\0" + "z" * 498
    assert (long["value_bytes"], long["value_cut"]) == (5_002, True)
    assert (empty["value"], empty["value_bytes"], empty["value_cut"]) == (None, None, False)
    assert (text["value"], text["value_cut"]) == ("nonsense", False)
    assert wrong["value"] == body("x", amount="1,5").decode()


def test_a_replay_sends_again_and_counts_at_the_new_offset(
    service: RunningProgram, stack: Stack, api: httpx.Client
) -> None:
    produce(stack, REFUSED)
    wait_for_ledger(stack)
    chosen = listed(api, "/dead-letters", 3)[0]["id"]
    answer = api.post("/dead-letters/replay", json={"ids": [chosen, f"{chosen.rpartition(':')[0]}:999", chosen]})
    assert answer.json() == {"replayed": 1, "failed": {}, "unknown": [f"{chosen.rpartition(':')[0]}:999"]}
    wait_for_ledger(stack)
    assert ledger_sums(stack)["dead_lettered"] == 4
    assert sum(row["replayed_at"] is not None for row in dead_letters(stack)) == 1
    letters = listed(api, "/dead-letters", 4)
    assert [letter["id"] for letter in letters if letter["replayed_at"] is not None] == [chosen]
    # The one sent again and refused again is new, and has not been sent again itself.
    assert api.post("/dead-letters/replay", json={"all": True, "reason": "not_json"}).json()["replayed"] == 1
    wait_for_ledger(stack)
    assert api.post("/dead-letters/replay", json={"all": True}).json()["replayed"] == 3
    wait_for_ledger(stack)
    assert all(row["replayed_at"] for row in dead_letters(stack)[: len(REFUSED)])


@pytest.mark.parametrize(
    "wish",
    [{}, {"ids": []}, {"ids": ["nonsense"]}, {"ids": ["a:1:2"], "all": True}, {"all": False}, [], None, {"x": 1}],
)
def test_a_replay_of_nothing_in_particular_is_refused(wish: Any, service: RunningProgram, api: httpx.Client) -> None:
    answer = api.post("/dead-letters/replay", json=wish)
    assert answer.status_code == 422
    assert answer.json()["status"] == 422


def test_a_hole_in_the_log_waits_until_it_is_accepted(
    service: RunningProgram, stack: Stack, api: httpx.Client, start_rtp: StartRtp
) -> None:
    produce(stack, [body(f"t{number}") for number in range(5)])
    wait_for_ledger(stack)
    service.signal(signal.SIGTERM)
    assert service.wait(120) == 0
    produce(stack, [body(f"u{number}") for number in range(5)])
    admin = AdminClient({"bootstrap.servers": stack.endpoints.need("kafka_bootstrap")})
    for future in admin.delete_records([TopicPartition(stack.topic, 0, 8)]).values():
        future.result(30)
    start_rtp("consume", env=stack.env)
    wait_until(lambda: "3 records (5 to 7)" in readiness(api)[1], timeout_s=60, what="the hole on /health/ready")
    assert "hole:0" in status(api)["problems"]
    waiting = api.post("/resume", json={}).json()
    assert [hole["to_offset"] for hole in waiting["open_holes"]] == [8]
    accepted = api.post("/resume", json={"accept_holes": True}).json()
    assert [(hole["from_offset"], hole["to_offset"]) for hole in accepted["accepted_holes"]] == [(5, 8)]
    wait_for_ledger(stack)
    assert ledger_sums(stack) == {"inserted": 7, "duplicates": 0, "dead_lettered": 0, "skipped": 3}


def test_metrics_agree_with_the_status(service: RunningProgram, stack: Stack, api: httpx.Client) -> None:
    produce(stack, [*(body(f"t{number}", beside=1) for number in range(9)), body("t1", beside=1), b"nonsense"])
    wait_for_ledger(stack)
    wait_until(lambda: sum(status(api)["since_start"].values()) == 11, what="all counted")
    families = {family.name: family for family in text_string_to_metric_families(api.get("/metrics").text)}
    outcomes = {sample.labels["outcome"]: sample.value for sample in families["rtp_consumer_records"].samples}
    assert outcomes == {"inserted": 9, "duplicate": 1, "dead_letter": 1, "skipped": 0}
    lag = {sample.labels["kafka_partition"]: sample.value for sample in families["rtp_consumer_lag_records"].samples}
    assert lag == {str(number): 0.0 for number in range(6)}
    assert families["rtp_consumer_unknown_fields"].samples[0].value == 10
    for name in ("batch_rows", "write_seconds", "end_to_end_latency_seconds"):
        samples = families[f"rtp_consumer_{name}"].samples
        buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
        counted = next(sample.value for sample in samples if sample.name.endswith("_count"))
        assert buckets == sorted(buckets)
        assert buckets[-1] == counted > 0
    assert families["process_cpu_seconds"].samples[0].value > 0


def test_without_postgres_it_answers_and_says_so(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> None:
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    port = int(dsn.rpartition("port=")[2])
    with TcpProxy(("127.0.0.1", port)) as proxy:
        env = {**stack.env, "RTP_POSTGRES_INGEST_DSN": dsn.replace(f"port={port}", f"port={proxy.port}")}
        start_rtp("consume", env=env)
        wait_until(lambda: readiness(api)[0] == 200, timeout_s=60, what="the consumer's readiness")
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: "postgres" in readiness(api)[1], what="the reason on /health/ready")
        assert api.get("/health/live").status_code == 200
        wait_until(lambda: status(api)["ledger_trouble"], what="trouble in the status")
        found = status(api)
        assert found["ledger"] is None
        assert found["state"] == "trouble"
        assert [partition["position"] for partition in found["partitions"]] == [0] * 6
        for answer in (api.get("/transactions"), api.get("/dead-letters"), api.post("/pause")):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
        proxy.heal()
        wait_until(lambda: readiness(api)[0] == 200, timeout_s=60, what="readiness once PostgreSQL is back")
        wait_until(lambda: status(api)["ledger"] is not None, what="the ledger in the status again")
        assert api.get("/transactions").status_code == 200


def test_open_pages_are_bounded_and_do_not_hold_up_the_stop(
    service: RunningProgram, stack: Stack, api: httpx.Client
) -> None:
    produce(stack, [body("t1"), b"nonsense"])
    wait_for_ledger(stack)
    pages = [httpx.Client(base_url=api.base_url, timeout=60) for _ in range(65)]
    opened: list[Iterator[str]] = []
    try:
        codes = []
        for page in pages:
            answer = page.send(page.build_request("GET", "/events"), stream=True)
            codes.append(answer.status_code)
            lines = answer.iter_lines()
            if answer.status_code == 200:
                next(lines)
                opened.append(lines)
        assert codes == [200] * 64 + [503]
        wait_until(lambda: '"transaction_id":"t1"' in next(opened[0]), what="the row in an event")
        before = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.wait(120) == 0
        assert time.monotonic() - before < 50
    finally:
        for page in pages:
            page.close()
    assert_balanced(stack)


def test_schemathesis_finds_nothing(service: RunningProgram, stack: Stack) -> None:
    produce(stack, [body("t1"), b"nonsense"])
    wait_for_ledger(stack)
    url = f"{stack.endpoints.need('consumer_url')}/openapi.json"
    fuzzer = [str(Path(sys.executable).with_name("schemathesis")), "run", url, "--max-examples", "15", "--no-color"]
    found = subprocess.run(fuzzer, cwd=stack.home, capture_output=True, text=True, timeout=280, check=False)
    assert found.returncode == 0, found.stdout[:4_000]
