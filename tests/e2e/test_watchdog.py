"""A worker that hangs writes its stacks and ends; one that was stopped by a signal, or waits for a lock, does not."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request

import psutil

from rtp_workers.watchdog import HUNG_AFTER_S
from tests.conftest import Stack, StartRtp
from tests.reading import rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until

END_S = 300.0


def live(stack: Stack) -> tuple[int, str]:
    """Returns what GET /health/live says; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"{stack.endpoints.need('consumer_url')}/health/live", timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, str(json.load(error)["detail"])
    except OSError:
        return 0, ""


def test_a_thread_that_hangs_fails_liveness_and_ends_the_process(stack: Stack, start_rtp: StartRtp) -> None:
    consumer = start_rtp("consume", env={**stack.env, "RTP_FAILPOINT": "turn:100=hang"})
    wait_until(lambda: live(stack)[0] == 503, END_S, "a liveness that fails")
    assert "loop" in live(stack)[1]
    assert consumer.wait(END_S) == -signal.SIGABRT
    said = consumer.output()
    assert "its stacks follow" in said
    assert "Thread 0x" in said
    assert "session.py" in said


def test_a_thread_that_holds_the_interpreter_ends_the_process(stack: Stack, start_rtp: StartRtp) -> None:
    """Nothing of Python runs then: no thread, no signal handler, no HTTP answer."""
    consumer = start_rtp("consume", "--no-api", env={**stack.env, "RTP_FAILPOINT": "turn:100=hold"})
    assert consumer.wait(END_S) == -signal.SIGABRT
    assert "failpoints.py" in consumer.output(), "the stack of the thread that held it"
    produce(stack, [body("one")])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack, END_S)
    assert set(rows_by_id(stack)) == {"one"}


def test_a_process_that_was_stopped_and_continued_is_not_hung(stack: Stack, start_rtp: StartRtp) -> None:
    consumer = start_rtp("consume", env=stack.env)
    wait_until(lambda: live(stack)[0] == 200, END_S, "its start")
    consumer.signal(signal.SIGSTOP)
    time.sleep(HUNG_AFTER_S + 10)
    consumer.signal(signal.SIGCONT)
    produce(stack, [body("one")])
    wait_for_ledger(stack, END_S)
    assert consumer.running()
    assert live(stack)[0] == 200


def test_the_guard_costs_little_and_ends_with_its_process(stack: Stack, start_rtp: StartRtp) -> None:
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    guard = wait_until(lambda: psutil.Process(consumer.pid).children(), END_S, "the guard")[0]
    assert guard.memory_info().rss < 20_000_000
    guard.kill()
    wait_until(lambda: "watchdog_restarted" in consumer.output(), END_S, "another guard")
    second = wait_until(lambda: psutil.Process(consumer.pid).children(), END_S, "another guard")[0]
    consumer.process.kill()
    second.wait(END_S)
