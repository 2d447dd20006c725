"""Three consumers on a range of ports share the partitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.docker import Project
from tests.waiting import wait_until


@pytest.fixture
def three_consumers(platform: Project) -> Iterator[Project]:
    """The platform with three consumers; one again afterwards."""
    single = platform.ports["CONSUMER"]
    scaled = ("up", "--detach", "--no-recreate", "--scale")
    platform.settings["RTP_CONSUMER_PORT"] = f"{single}-{single + 2}"
    platform.compose("rm", "--stop", "--force", "consumer-streaming-api")
    platform.compose(*scaled, "consumer-streaming-api=3")
    yield platform
    del platform.settings["RTP_CONSUMER_PORT"]
    platform.compose("rm", "--stop", "--force", "consumer-streaming-api")
    platform.compose("up", "--detach")
    platform.wait_healthy()


def test_three_consumers_share_the_six_partitions(three_consumers: Project) -> None:
    three_consumers.wait_healthy(("consumer-streaming-api",))
    assert len(three_consumers.containers("consumer-streaming-api")) == 3
    members = wait_until(lambda: _members_with_two(three_consumers), 180, "two partitions for each of three members")
    assert len(members) == 3
    before = three_consumers.rows()
    wait_until(lambda: three_consumers.rows() > before, 180, "rows from three consumers")
    assert three_consumers.verify()["ok"]


def _members_with_two(project: Project) -> list[str]:
    """Returns the members of the group where each of three holds two partitions, as Kafka's own tool tells it."""
    told = project.exec(
        "kafka",
        "kafka-consumer-groups",
        "--bootstrap-server",
        "localhost:9092",
        "--describe",
        "--group",
        "rtp-consumer",
        "--members",
    )
    rows = [line.split() for line in told.splitlines() if line.startswith("rtp-consumer")]
    return [row[1] for row in rows] if len(rows) == 3 and all(row[4] == "2" for row in rows) else []
