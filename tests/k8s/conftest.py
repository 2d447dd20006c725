"""Fixtures: a node with KEDA, our images on it, and one installed platform that the tests share."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_engine import BUILD_TIMEOUT_S, ROOT, docker_running
from tests.k8s import cluster
from tests.k8s.cluster import CHART, NAMESPACE, RELEASE, Release, helm, kubectl, run
from tests.object_store import S3, running_s3

# Tags of their own: tests of the containers may build theirs at the same time.
IMAGE = "real-time-data-platform:k8s"
NEXT_IMAGE = "real-time-data-platform:k8s-next"
# On a new machine Kubernetes and KEDA are compiled: 12 minutes on two idle cores.
FIRST_BUILD_S = 4800
ROLES = ("postgres", "rtp_owner", "rtp_ingest", "rtp_read", "rtp_insights", "rtp_dagster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each of these tests time for a slow machine, and the first one for the builds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(FIRST_BUILD_S + 1800))


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Iterator[None]:
    """A running Kubernetes node with KEDA and the operators' resource definitions; ended afterwards."""
    if not cluster.STANDIN.is_dir():
        pytest.fail("../shared/standin-k8s is missing: these tests start a Kubernetes node with it")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    with cluster.alone(tell):
        try:
            cluster.start()
            run("kubectl", "apply", "--server-side", "--filename", str(cluster.STANDIN / "crds"))
            kubectl("create", "namespace", NAMESPACE)
            # Pods that ask for more than the restricted profile allows are refused.
            levels = [f"pod-security.kubernetes.io/{what}=restricted" for what in ("enforce", "warn")]
            kubectl("label", "namespace", NAMESPACE, *levels)
            yield
        finally:
            if not os.environ.get("RTP_TEST_KEEP_NODE"):
                cluster.stop()


@pytest.fixture(scope="session")
def images(node: None) -> None:
    """Our image from this checkout, the same under another tag for the upgrade, and the servers', on the node."""
    with docker_running("test-k8s"):
        built = ("build", "--file", "deploy/Dockerfile", "--build-arg", "REQUIREMENTS=kubernetes")
        _docker(*built, "--tag", IMAGE, ".")
        _docker("build", "--tag", NEXT_IMAGE, "-", stdin=f"FROM {IMAGE}\nLABEL next=yes\n")
        archive = cluster.RUN / "images.tar"  # one for all, so that layers which they share travel once
        _docker("save", "--output", str(archive), IMAGE, NEXT_IMAGE, "confluentinc/cp-kafka:7.9.1", "postgres:17")
    cluster.load_images(str(archive))
    archive.unlink()


@pytest.fixture(scope="session")
def servers(images: None) -> None:
    """Kafka, PostgreSQL and a volume for CSV files, as docs/kubernetes.md starts them for a trial."""
    passwords = [f"--from-literal={role}={secrets.token_hex(24)}" for role in ROLES]
    kubectl("create", "secret", "generic", "rtp-postgres", *passwords)
    kubectl("apply", "--filename", str(CHART / "trial"))


@pytest.fixture(scope="session")
def store(node: None) -> Iterator[S3]:
    """A real S3 API with one bucket, on this machine and outside the cluster."""
    with running_s3(cluster.HOST) as s3:
        yield s3


@pytest.fixture(scope="session")
def release(servers: None) -> Iterator[Release]:
    """The platform, installed and rolled out. Tests leave it so."""
    made = Release()
    try:
        helm("install", RELEASE, str(CHART), *settings(IMAGE))
        made.wait_rolled_out()
        yield made
    except BaseException:
        print(_state())
        raise


def settings(image: str) -> tuple[str, ...]:
    """Returns Helm's arguments for a trial with this image, whose consumers become fewer within seconds."""
    tag = image.partition(":")[2]
    trial = ("--values", str(CHART / "values" / "trial.yaml"))
    return (*trial, "--set", f"image.tag={tag}", "--set", "consumer.autoscaling.scaleDownStabilizationSeconds=20")


@pytest.fixture(autouse=True)
def _state_where_it_failed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints what the cluster looks like after a test that failed."""
    before = request.session.testsfailed
    yield
    if request.session.testsfailed > before and cluster.node_pid() is not None:
        print(_state())


def _state() -> str:
    """Returns pods, events and the ends of the logs, for a failure's output."""
    parts = [kubectl("get", "pods,jobs,scaledobjects", "--output", "wide", check=False)]
    parts.append(kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-4_000:])
    selector = f"app.kubernetes.io/instance={RELEASE}"
    parts.append(kubectl("logs", "--selector", selector, "--tail=12", "--prefix", "--max-log-requests=30", check=False))
    return "\n".join(parts)


def _docker(*arguments: str, stdin: str | None = None) -> None:
    done = subprocess.run(
        ("docker", *arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, f"docker {arguments}: {done.stdout}\n{done.stderr}"
