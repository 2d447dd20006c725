"""The platform on Kubernetes: rows arrive, pods come and go, and nothing is lost or there twice.

The tests share one platform, in this order; each leaves it running.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s import cluster
from tests.k8s.cluster import CHART, NAMESPACE, RELEASE, ROOT, Release, eventually, found, helm, kubectl, restarts
from tests.k8s.conftest import NEXT_IMAGE

BURST_RECORDS = int(os.environ.get("RTP_TEST_BURST", "1500000"))
SCALED_S = 600.0
RUN_S = 900.0


def test_rows_arrive_and_everything_agrees(release: Release) -> None:
    eventually(lambda: release.rows("live") > 100, 300, "live rows")
    eventually(lambda: release.ready("consumer") == 1, 120, "a consumer that is ready")
    assert release.verify()["ok"]


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


def test_helm_test_reconciles(release: Release) -> None:
    helm("test", RELEASE, "--timeout", "10m")


def test_csv_files_are_loaded_by_a_pod_of_their_own(release: Release) -> None:
    """A file that arrives on the volume starts a run, and the run is a Job; its size is what the run's tag says."""
    eventually(
        lambda: kubectl("get", "pod", "data-copier", "--output=jsonpath={.status.phase}") == "Running", 120, "copier"
    )
    (file, *_) = sorted((ROOT / "data").glob("*.csv"))
    kubectl("cp", str(file), f"data-copier:/data/{file.name}")
    size = {"container_config": {"resources": {"requests": {"cpu": "60m", "memory": "200Mi"}}}}
    tags = {"dagster-k8s/config": json.dumps(size)}
    launch = (
        "dagster",
        "job",
        "launch",
        "-w",
        "/etc/dagster/workspace.yaml",
        "-l",
        "rtp_dagster",
        "-j",
        "batch_backfill",
    )
    release.exec("batch", *launch, "--tags", json.dumps(tags))
    jobs = eventually(lambda: _runs("batch_backfill", "60m"), RUN_S, "a Job for the run")
    name = jobs[0]["metadata"]["name"]
    kubectl("wait", "--for=condition=Complete", f"job/{name}", f"--timeout={RUN_S:.0f}s", timeout_s=RUN_S + 60)
    loaded = int(release.psql("select coalesce(sum(acknowledged), 0) from csv_loads"))
    assert loaded > 0
    assert release.rows("csv:%") == loaded
    assert release.verify()["ok"]


def test_a_burst_scales_the_consumers_up_and_down_again(release: Release) -> None:
    eventually(lambda: release.ready("consumer") == 1, SCALED_S, "one consumer")
    release.send("producer", 8001, "POST", "/burst", {"records": BURST_RECORDS})
    eventually(lambda: release.ready("consumer") == 3, SCALED_S, "three consumers")
    eventually(lambda: _partitions_by_member() == [2, 2, 2], 120, "two partitions for each of three")
    eventually(lambda: release.rows("live") > BURST_RECORDS, 1800, "the burst stored")
    eventually(lambda: len(release.pods("consumer")) == 1, SCALED_S, "one consumer again")
    release.assert_nothing_lost_or_twice()


def deleted(pod: dict[str, Any]) -> None:
    """The pod is asked to go, as a drained node asks it."""
    kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")


def killed(pod: dict[str, Any]) -> None:
    """The program ends at once, as it does when the kernel runs out of memory."""
    cluster.kill_program(pod, "consume")


@pytest.mark.parametrize("fault", [deleted, killed])
def test_a_consumer_that_goes_under_load_is_replaced(release: Release, fault: Callable[[dict[str, Any]], None]) -> None:
    release.send("producer", 8001, "PUT", "/rate", {"records_per_s": 500})
    eventually(lambda: release.ready("consumer") == 1, SCALED_S, "one consumer")
    (before,) = release.pods("consumer")
    fault(before)
    eventually(lambda: _is_new(release.pods("consumer"), before), SCALED_S, "a consumer in its place")
    release.wait_for_more_rows()
    release.assert_nothing_lost_or_twice()


def test_the_kubelet_is_restarted_under_load_and_nobody_notices(release: Release) -> None:
    (before,) = release.pods("consumer")
    cluster.restart_kubelet()
    kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=180s")
    release.wait_for_more_rows()
    release.assert_nothing_lost_or_twice()
    (after,) = release.pods("consumer")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert restarts([after]) == restarts([before])


def test_an_upgrade_while_records_flow_loses_nothing(release: Release) -> None:
    trial = str(CHART / "values" / "trial.yaml")
    helm("upgrade", RELEASE, str(CHART), "--values", trial, "--set", "image.tag=next", "--timeout", "15m")
    release.wait_rolled_out()
    eventually(lambda: _images(release) == {NEXT_IMAGE}, 300, "pods of the new image alone")
    release.wait_for_more_rows()
    release.assert_nothing_lost_or_twice()


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


def _runs(job: str, cpu: str) -> list[dict[str, Any]]:
    """Returns the Jobs of runs of a Dagster job whose container asks for this much CPU."""
    jobs = found("jobs", f"dagster/job={job}")
    return [each for each in jobs if _container(each)["resources"]["requests"]["cpu"] == cpu]


def _container(job: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return container


def _partitions_by_member() -> list[int]:
    """Returns how many partitions each member of the group holds, as Kafka's own tool tells it."""
    asked = "kafka-consumer-groups --bootstrap-server localhost:9092 --describe --group rtp-consumer --members"
    told = kubectl("exec", "kafka-0", "--", "env", "KAFKA_HEAP_OPTS=-Xmx128m", *asked.split(), check=False)
    return [int(line.split()[4]) for line in told.splitlines() if line.startswith("rtp-consumer")]


def _is_new(pods: list[dict[str, Any]], before: dict[str, Any]) -> bool:
    """Tells whether a ready pod is another one, or one that was started again."""
    return any(
        cluster.is_ready(pod)
        and (pod["metadata"]["uid"] != before["metadata"]["uid"] or restarts([pod]) > restarts([before]))
        for pod in pods
    )


def _images(release: Release) -> set[str]:
    components = ("consumer", "producer", "batch", "webserver", "daemon")
    return {pod["spec"]["containers"][0]["image"] for each in components for pod in release.pods(each)}
