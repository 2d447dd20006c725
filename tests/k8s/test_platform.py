"""The platform on Kubernetes: rows arrive, pods come and go, and nothing is lost or there twice.

The tests share one platform, in this order; each leaves it running.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.csv_files import canonical_text
from tests.k8s import cluster
from tests.k8s.cluster import (
    CHART,
    NAMESPACE,
    RELEASE,
    ROOT,
    Release,
    eventually,
    found,
    helm,
    is_ready,
    kubectl,
    restarts,
)
from tests.k8s.conftest import NEXT_IMAGE, settings
from tests.object_store import BUCKET, ENVIRONMENT, S3

BURST_RECORDS = int(os.environ.get("RTP_TEST_BURST", "1500000"))
SCALED_S = 600.0
RUN_S = 900.0
ROWS = 500


def test_rows_arrive_and_helm_test_agrees(release: Release) -> None:
    eventually(lambda: release.rows("live") > 100, 300, "live rows")
    eventually(lambda: release.ready("consumer") == 1, 120, "a consumer that is ready")
    helm("test", RELEASE, "--timeout", "10m")


def test_pods_hold_no_more_than_they_need(release: Release) -> None:
    """Only the webserver and the daemon may talk to Kubernetes, and nobody beyond the namespace."""
    for component in ("consumer", "producer", "batch"):
        (pod,) = release.pods(component)
        assert pod["spec"]["automountServiceAccountToken"] is False
    told = kubectl(
        "auth", "can-i", "list", "secrets", "--as", f"system:serviceaccount:{NAMESPACE}:{RELEASE}-dagster", check=False
    )
    assert told.strip() == "no"
    assert not [each for each in found("clusterrolebindings") if RELEASE in str(each.get("subjects"))]


def test_csv_files_on_the_volume_are_loaded_by_a_pod_of_their_own(release: Release) -> None:
    """The run is a Job, and its size is what the run's tag says."""
    kubectl("wait", "--for=condition=Ready", "pod/data-copier", "--timeout=120s")
    (file, *_) = sorted((ROOT / "data").glob("*.csv"))
    kubectl("cp", str(file), f"data-copier:/data/{file.name}")
    size = {"container_config": {"resources": {"requests": {"cpu": "60m", "memory": "200Mi"}}}}
    tags = json.dumps({"dagster-k8s/config": json.dumps(size)})
    where = ("-w", "/etc/dagster/workspace.yaml", "-l", "rtp_dagster", "-j", "batch_backfill")
    release.exec("batch", "dagster", "job", "launch", *where, "--tags", tags)
    job = eventually(lambda: _run_of(lambda run: run["resources"]["requests"]["cpu"] == "60m"), RUN_S, "the run's Job")
    wait_complete(job)
    loaded = int(release.psql("select coalesce(sum(acknowledged), 0) from csv_loads"))
    assert loaded > 0
    assert release.rows("csv:%") == loaded


def test_a_burst_scales_the_consumers_up(release: Release) -> None:
    eventually(lambda: release.ready("consumer") == 1, SCALED_S, "one consumer")
    release.send("producer", 8001, "PUT", "/rate", {"records_per_s": 500})
    release.send("producer", 8001, "POST", "/burst", {"records": BURST_RECORDS})
    eventually(lambda: release.ready("consumer") == 3, SCALED_S, "three consumers")
    eventually(lambda: _partitions_by_member() == [2, 2, 2], 120, "two partitions for each of three")


def deleted(pod: dict[str, Any]) -> None:
    """The pod is asked to go, as a drained node asks it."""
    kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")


def killed(pod: dict[str, Any]) -> None:
    """The program ends at once, as it does when the kernel runs out of memory."""
    cluster.kill_program(pod, "consume")


@pytest.mark.parametrize("fault", [deleted, killed])
def test_a_consumer_that_goes_under_load_is_replaced(release: Release, fault: Callable[[dict[str, Any]], None]) -> None:
    before = release.pods("consumer")[0]
    fault(before)
    eventually(lambda: _recovered(release.pods("consumer"), before), SCALED_S, "a consumer in its place")
    release.wait_for_more_rows()


def test_the_kubelet_is_restarted_under_load_and_nobody_notices(release: Release) -> None:
    before = _restarts_by_pod(release)
    cluster.restart_kubelet()
    release.wait_for_more_rows()
    after = _restarts_by_pod(release)
    assert after
    assert after.items() <= before.items()  # there may be fewer by now: that is scaling


def test_after_the_burst_one_consumer_is_left_and_nothing_is_lost_or_there_twice(release: Release) -> None:
    eventually(lambda: release.rows("live") > BURST_RECORDS, 1800, "the burst stored")
    eventually(lambda: len(release.pods("consumer")) == 1, SCALED_S, "one consumer again")
    release.assert_nothing_lost_or_twice()


def test_an_upgrade_to_a_new_image_and_a_bucket_loses_nothing(release: Release, in_a_bucket: Path) -> None:
    """Records flow all the time. From here on, the data folder is a prefix of a bucket."""
    helm("upgrade", RELEASE, str(CHART), *settings(NEXT_IMAGE), "--values", str(in_a_bucket), "--timeout", "15m")
    release.wait_rolled_out()
    eventually(lambda: _images(release) == {NEXT_IMAGE}, 300, "pods of the new image alone")
    release.wait_for_more_rows()


def test_an_object_that_arrives_is_loaded_by_a_pod_and_its_refused_row_is_next_to_it(
    release: Release, store: S3
) -> None:
    store.put("incoming/may.csv", canonical_text(range(ROWS)) + "one,bad,row\n")
    job = eventually(lambda: _run_of(lambda run: _value(run, "RTP_DATA_DIR").startswith("s3:")), RUN_S, "a run's Job")
    wait_complete(job)
    assert release.rows("csv:may.csv") == ROWS
    (refused,) = store.names("incoming/refused/")
    assert b"one,bad,row" in store.get(refused)
    release.assert_nothing_lost_or_twice()


def test_the_role_of_the_insights_has_filled_its_tables(release: Release) -> None:
    days = "select count(*) from insights.daily_activity"
    eventually(lambda: release.count(days) > 0, RUN_S, "a day in Dagster's insight tables")
    owner = "select distinct tableowner from pg_tables where schemaname = 'insights'"
    assert release.psql(owner) == "rtp_insights"


def test_uninstalled_nothing_is_left_but_the_data(release: Release) -> None:
    rows = release.rows()
    helm("uninstall", RELEASE, "--timeout", "10m", "--wait")
    kinds = "deployments,jobs,pods,services,configmaps,serviceaccounts,roles,rolebindings,ingresses,networkpolicies"
    more = "poddisruptionbudgets,scaledobjects,horizontalpodautoscalers"
    selector = f"app.kubernetes.io/instance={RELEASE}"
    eventually(lambda: not found(f"{kinds},{more}", selector), 300, "nothing of the release left")
    assert release.rows() >= rows
    assert {claim["metadata"]["name"] for claim in found("persistentvolumeclaims")} == {
        "data-kafka-0",
        "data-postgres-0",
        "rtp-data",
    }


@pytest.fixture
def in_a_bucket(store: S3, tmp_path: Path) -> Path:
    """Values for CSV files in a bucket, with the login in a Secret; see docs/object-storage.md."""
    login = {"id": ENVIRONMENT["AWS_ACCESS_KEY_ID"], "secret": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]}
    kubectl("create", "secret", "generic", "store", *(f"--from-literal={key}={text}" for key, text in login.items()))
    values = {
        "batch": {
            "dataClaim": "",
            "settings": {
                "RTP_DATA_DIR": f"s3://{BUCKET}/incoming",
                "RTP_S3_ENDPOINT_URL": store.url,
                "RTP_S3_REGION": ENVIRONMENT["AWS_REGION"],
            },
            "secretSettings": {
                "RTP_S3_ACCESS_KEY_ID": {"name": "store", "key": "id"},
                "RTP_S3_SECRET_ACCESS_KEY": {"name": "store", "key": "secret"},
            },
        },
        "networkPolicy": {"extraEgressPorts": [int(store.url.rsplit(":", 1)[1])]},
    }
    path = tmp_path / "bucket.yaml"
    path.write_text(json.dumps(values))
    return path


def wait_complete(job: dict[str, Any]) -> None:
    """Waits until a Job has done its work."""
    name = job["metadata"]["name"]
    kubectl("wait", "--for=condition=Complete", f"job/{name}", f"--timeout={RUN_S:.0f}s", timeout_s=RUN_S + 60)


def _run_of(chosen: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Returns the Job of the first run of `batch_backfill` whose container is as wanted."""
    jobs = found("jobs", "dagster/job=batch_backfill")
    return next((job for job in jobs if chosen(job["spec"]["template"]["spec"]["containers"][0])), None)


def _value(container: dict[str, Any], name: str) -> str:
    """Returns a variable of a container's environment; empty if it has none of that name."""
    return next((each.get("value", "") for each in container["env"] if each["name"] == name), "")


def _partitions_by_member() -> list[int]:
    """Returns how many partitions each member of the group holds, as Kafka's own tool tells it."""
    asked = "kafka-consumer-groups --bootstrap-server localhost:9092 --describe --group rtp-consumer --members"
    told = kubectl("exec", "kafka-0", "--", "env", "KAFKA_HEAP_OPTS=-Xmx128m", *asked.split(), check=False)
    return [int(line.split()[4]) for line in told.splitlines() if line.startswith("rtp-consumer")]


def _recovered(pods: list[dict[str, Any]], before: dict[str, Any]) -> bool:
    """Tells whether all pods are ready, and the earlier one is not among them or was started again."""
    same = [pod for pod in pods if pod["metadata"]["uid"] == before["metadata"]["uid"]]
    return bool(pods) and all(map(is_ready, pods)) and (not same or restarts(same) > restarts([before]))


def _restarts_by_pod(release: Release) -> dict[str, int]:
    """Returns for each consumer how often it was started again, by the pod's unique id."""
    return {pod["metadata"]["uid"]: restarts([pod]) for pod in release.pods("consumer")}


def _images(release: Release) -> set[str]:
    components = ("consumer", "producer", "batch", "webserver", "daemon")
    return {pod["spec"]["containers"][0]["image"] for each in components for pod in release.pods(each)}
