"""Which alerts are sent: once a cause, again after an hour, and when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtp_dagster.alerts.causes import REMEMBERED, REPEAT_S, Cause, Message, Told, after, messages, read_told
from rtp_dagster.alerts.sensors import FILES, RUNS
from rtp_dagster.alerts.webhook import payload, send
from rtp_workers.errors import ConfigError

LAG = Cause("check lag_is_low on transactions", "lag_is_low on transactions fails: 9 records wait", "http://d/assets")
RUN = Cause("run abc", "The run abc failed", "http://d/runs/abc", recovers=False)


def texts(found: list[Message]) -> list[str]:
    return [message.text for message in found if message.text]


def step(causes: list[Cause], told: dict[str, Told], now_s: float) -> tuple[list[str], dict[str, Told]]:
    found = messages(causes, told, now_s)
    return texts(found), after(told, found)


def test_a_cause_is_told_once_again_after_an_hour_and_when_it_is_over() -> None:
    first, told = step([LAG], {}, 0)
    assert first == ["lag_is_low on transactions fails: 9 records wait\nhttp://d/assets"]
    assert step([LAG], told, REPEAT_S - 1)[0] == []
    again, told = step([LAG], told, REPEAT_S)
    assert again == ["Still: lag_is_low on transactions fails: 9 records wait\nhttp://d/assets"]
    over, told = step([], told, REPEAT_S + 30)
    assert over == ["Recovered: check lag_is_low on transactions\nhttp://d/assets"]
    assert told == {}
    assert step([], told, REPEAT_S + 60)[0] == []


def test_a_failed_run_is_told_once_and_never_recovers() -> None:
    first, told = step([RUN], {}, 0)
    assert first == ["The run abc failed\nhttp://d/runs/abc"]
    assert step([RUN], told, 10 * REPEAT_S)[0] == []
    assert step([], told, 10 * REPEAT_S) == ([], {})


def test_runs_of_the_same_kind_that_keep_failing_are_told_once_an_hour() -> None:
    def failing(at_s: float) -> list[Cause]:
        return [replace(RUN, key="runs of batch_backfill of odd.csv", since_s=at_s)]

    _, told = step(failing(0), {}, 0)
    assert step(failing(REPEAT_S - 60), told, REPEAT_S - 1)[0] == []
    assert step(failing(REPEAT_S - 60), told, REPEAT_S)[0] == ["The run abc failed\nhttp://d/runs/abc"]
    assert step(failing(0), told, REPEAT_S)[0] == [], "it has not failed again"


def test_what_could_not_be_looked_for_has_not_recovered() -> None:
    file = Cause("file a.csv", "a.csv is not loaded", "http://d/files")
    _, told = step([LAG, file], {}, 0)
    assert texts(messages([], told, 60, "file ")) == ["Recovered: check lag_is_low on transactions\nhttp://d/assets"]


def test_many_causes_that_end_at_once_are_one_message() -> None:
    causes = [Cause(f"file {number}.csv", f"{number}.csv is not loaded", "http://d/files") for number in range(40)]
    over, told = step([], step(causes, {}, 0)[1], 60)
    assert len(over) == 1
    assert over[0].startswith("40 things have recovered:\n- file 0.csv")
    assert told == {}


def test_as_many_causes_as_a_tick_finds_are_remembered() -> None:
    assert REMEMBERED > RUNS + FILES + 100
    causes = [Cause(f"file {number}.csv", f"{number}.csv is not loaded", "x") for number in range(RUNS + FILES + 100)]
    told = step(causes, {}, 0)[1]
    assert step(causes, told, 30)[0] == []


def test_many_causes_at_once_are_one_message() -> None:
    causes = [Cause(f"file {number}.csv", f"{number}.csv is not loaded", "http://d/files") for number in range(40)]
    first, told = step(causes, {}, 0)
    assert len(first) == 1
    assert first[0].startswith("40 things need attention:\n- 0.csv is not loaded")
    assert "and 35 more" in first[0]
    assert step(causes, told, 60)[0] == []


def test_what_was_not_sent_is_sent_at_the_next_tick() -> None:
    assert step([LAG], after({}, []), 60)[0] == step([LAG], {}, 0)[0]


def test_a_stored_state_that_is_not_ours_is_an_empty_one() -> None:
    assert read_told(None) == read_told([1]) == read_told({"a": 1}) == {}
    assert read_told({"a": [1.5, "x"], "b": [2, "y", "http://d"]}) == {
        "a": Told(1.5, "x"),
        "b": Told(2, "y", "http://d"),
    }


def test_teams_gets_a_card_and_everybody_else_text() -> None:
    assert payload("hooks.slack.com", "a\nb") == {"text": "a\nb"}
    card = payload("prod-1.westeurope.logic.azure.com", "a\nb")["attachments"][0]["content"]
    assert [block["text"] for block in card["body"]] == ["a", "b"]
    linked = payload("x.webhook.office.com", "a\nhttps://d/runs/1")["attachments"][0]["content"]["body"]
    assert linked[1]["text"] == "[https://d/runs/1](https://d/runs/1)"


def test_a_name_cannot_call_everybody_at_slack() -> None:
    assert payload("hooks.slack.com", "<!channel>.csv & co") == {"text": "&lt;!channel&gt;.csv &amp; co"}
    assert payload("chat.example.com", "<a> & b") == {"text": "<a> & b"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.slack.com/secret",
        "ftp://x/secret",
        "http://[secret",
        "http://x/a secret",
        "http://x/sécret",
        "http://x:secret/",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        send(url, "x")
    assert "secret" not in str(raised.value)
    assert "sécret" not in str(raised.value)
