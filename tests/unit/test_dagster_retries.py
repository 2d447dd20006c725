"""How a step ends after the project's errors."""

from __future__ import annotations

import dagster as dg
import pytest

from rtp_dagster.definitions import defs
from rtp_dagster.retries import retried
from rtp_workers.errors import AttentionError, ConfigError, FatalError, RtpError, TransientError


def test_what_passes_by_itself_is_tried_again_after_waits_that_double() -> None:
    waits = []
    for attempt in range(3):
        with pytest.raises(dg.RetryRequested) as raised, retried(attempt, retries=3, first_wait_s=2):
            raise TransientError("away")
        waits.append(raised.value.seconds_to_wait)
    assert waits == [2, 4, 8]


@pytest.mark.parametrize("error", [ConfigError("wrong"), AttentionError("wrong"), FatalError("wrong")])
def test_what_does_not_pass_fails_at_once_with_its_own_sentence(error: RtpError) -> None:
    with pytest.raises(dg.Failure) as raised, retried(0):
        raise error
    assert raised.value.description == "wrong"
    assert raised.value.allow_retries is False


def test_what_goes_on_too_long_fails_with_its_own_sentence() -> None:
    with pytest.raises(dg.Failure) as raised, retried(3, retries=3):
        raise TransientError("still away")
    assert raised.value.description == "still away"


def test_no_step_has_a_retry_policy_that_would_start_a_cancelled_one_again() -> None:
    jobs = [job for job in defs().get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    assert jobs
    ops = [node for job in jobs for node in job.all_node_defs if isinstance(node, dg.OpDefinition)]
    assert {op.name for op in ops} >= {"load_files", "await_ledger", "send_dead_letters", "transactions_topic"}
    assert [op.name for op in ops if op.retry_policy is not None] == []
