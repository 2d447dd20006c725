"""Three consumers on a range of ports share the partitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.docker import Project, eventually


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
    eventually(
        lambda: _partitions_by_member(three_consumers) == ["2", "2", "2"], 180, "two partitions for each of three"
    )
    before = three_consumers.rows()
    eventually(lambda: three_consumers.rows() > before, 180, "rows from three consumers")
    assert three_consumers.verify()["ok"]


def _partitions_by_member(project: Project) -> list[str]:
    """Returns how many partitions each member of the group holds, as Kafka's own tool tells it."""
    tool = ("kafka-consumer-groups", "--bootstrap-server", "localhost:9092")
    told = project.exec("kafka", *tool, "--describe", "--group", "rtp-consumer", "--members")
    return [line.split()[4] for line in told.splitlines() if line.startswith("rtp-consumer")]
