"""docs/topics.md, followed word by word: its program, its commands and its screens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rtp_workers.kafka.topics import delete_topic
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.reading import dead_letters, query

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "topics.md").read_text()
TOPIC = "payments"
WIDTH = "110"


def blocks(kind: str) -> list[str]:
    """Returns the page's blocks of one kind, in their order."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def lines(text: str) -> list[str]:
    """Returns the lines of a screen that have something in them."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def assert_shown(screen: str, printed: str) -> None:
    """Checks that a screen of the page is part of what a command has printed, line by line."""
    wanted, found = lines(screen), lines(printed)
    assert any(found[at : at + len(wanted)] == wanted for at in range(len(found))), printed


def test_the_page_s_way_from_a_topic_to_rows(stack: Stack) -> None:
    env = {**stack.env, "RTP_TOPICS": TOPIC, "COLUMNS": WIDTH}
    program, (section, answer) = blocks("python")[0], blocks("toml")[:2]
    asked, sample = blocks("text")[:2]
    subprocess.run([sys.executable, "-c", program], env=env, check=True, timeout=120)
    try:
        assert_shown(asked, run_rtp("map", "--topic", TOPIC, env=env).stdout)
        file = Path(env["RTP_DATA_DIR"]) / "sources.toml"
        assert lines(file.read_text()) == lines(section)
        question = next(line for line in lines(section) if line.endswith('= "?"'))
        file.write_text(section.replace(question, answer.strip()))
        assert_shown(sample, run_rtp("map", "--topic", TOPIC, "--print", env=env).stdout)
        done = run_rtp("consume", "--no-api", "--until-idle", "4s", env=env, timeout_s=300)
        assert done.returncode == 0, done.stderr
    finally:
        delete_topic(stack.endpoints, TOPIC)
    assert [letter["reason"] for letter in dead_letters(stack)] == ["not_json"]
    rows = query(stack, "select transaction_id, amount::text as amount from transactions order by 1")
    assert (len(rows), rows[0]) == (1_000, {"transaction_id": "pay_000000", "amount": "1.99"})
    for row in rows[:3]:
        assert re.search(rf"{row['transaction_id']} .* {row['amount']} \| EUR", PAGE)
    assert query(stack, "select distinct attributes, source from transactions") == [
        {"attributes": None, "source": f"topic:{TOPIC}"}
    ]
