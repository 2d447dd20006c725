"""A Kubernetes node of our own, driven as a user drives one: by kubectl and helm."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rtp_workers.local.ports import free_port
from tests.programs import clean_env
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STANDIN = ROOT.parent / "shared" / "standin-k8s"
CHART = ROOT / "deploy" / "kubernetes"
RUN = Path("/tmp/rtp-test-k8s")
# A node joins this machine by a link of this name, so there can be only one.
LINK = Path("/sys/class/net/k8s-node0")
LOCK = RUN.with_suffix(".lock")
WAIT_FOR_ANOTHER_S = 3600.0
HOST = "10.231.77.1"  # this machine, as pods see it
NAMESPACE = "rtp"
RELEASE = "rtp"


def state() -> Path:
    """Returns where the node's programs are kept between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("K8S_STATE") or cache / "standin-k8s")


def environment() -> dict[str, str]:
    """Returns what the node's scripts, kubectl and helm need. Autoscaling looks every few seconds, not minutes."""
    return clean_env(
        K8S_STATE=str(state()),
        K8S_RUN=str(RUN),
        K8S_LINK_HOST=HOST,
        K8S_HPA_SYNC="5s",
        K8S_HPA_DOWN="30s",
        K8S_METRICS="0",  # scaling asks KEDA alone
        KUBECONFIG=str(RUN / "admin.kubeconfig"),
        PATH=f"{state() / 'bin'}:{os.environ['PATH']}",
        HELM_CACHE_HOME=str(RUN / "helm" / "cache"),
        HELM_CONFIG_HOME=str(RUN / "helm" / "config"),
        HELM_DATA_HOME=str(RUN / "helm" / "data"),
    )


def run(*command: str, timeout_s: float = 300, check: bool = True, stdin: str | None = None) -> str:
    """Runs a command to its end and returns its stdout; a failure shows its whole output."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, check: bool = True, stdin: str | None = None, timeout_s: float = 300) -> str:
    """Runs ``kubectl arguments`` in the release's namespace."""
    return run("kubectl", "--namespace", NAMESPACE, *arguments, check=check, stdin=stdin, timeout_s=timeout_s)


def helm(*arguments: str, check: bool = True, timeout_s: float = 900) -> str:
    """Runs ``helm arguments`` in the release's namespace."""
    return run("helm", "--namespace", NAMESPACE, *arguments, check=check, timeout_s=timeout_s)


def found(kind: str, selector: str = "") -> list[dict[str, Any]]:
    """Returns the objects of a kind, by label."""
    chosen = ("--selector", selector) if selector else ()
    items: list[dict[str, Any]] = json.loads(kubectl("get", kind, *chosen, "--output", "json"))["items"]
    return items


def eventually(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Waits until the condition is true, asking once a second: each question is a process of kubectl's."""

    def asked() -> Any:
        value = condition()
        if not value:
            time.sleep(1)
        return value

    return wait_until(asked, timeout_s, what)


def node_pid() -> int | None:
    """Returns the process, out here, in which the node lives."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((RUN / "node.pid").read_text())
        if str(RUN) in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    return None


@contextlib.contextmanager
def alone(tell: Callable[[str], None]) -> Iterator[None]:
    """Holds the right to this machine's only node. Waits while another run of these tests, or a person, has one.

    Args:
        tell: called once with a sentence about what is waited for.
    """
    with LOCK.open("w") as lock:
        if not _locked(lock):
            tell(f"Another run of these tests has the Kubernetes node. Waiting for its end ({LOCK}).")
            wait_until(lambda: _locked(lock), WAIT_FOR_ANOTHER_S, "the end of the other run")
        stop()  # a run that was killed has left its node
        if LINK.exists():
            tell("Another stand-in cluster runs on this machine. Waiting until its stop.sh ends it.")
            wait_until(lambda: not LINK.exists(), WAIT_FOR_ANOTHER_S, "the end of the other cluster")
        yield


def _locked(lock: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def start() -> None:
    """Builds the node's programs if they are missing, and starts it with KEDA."""
    run(str(STANDIN / "build.sh"), timeout_s=2400)
    run(str(STANDIN / "keda" / "build.sh"), timeout_s=2400)
    run(str(STANDIN / "start.sh"), timeout_s=600)
    run(str(STANDIN / "keda" / "install.sh"), timeout_s=600)


def stop() -> None:
    """Ends the node of these tests and everything in it, and removes what it has left."""
    pid = node_pid()
    if pid is not None:  # stop.sh would leave a node that a checkout elsewhere has started
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the end of the node")
    if pid is not None or not LINK.exists():  # stop.sh removes the link, whoever's it is
        run(str(STANDIN / "stop.sh"), check=False)


def load_images(*names: str) -> None:
    """Hands images of the Docker engine to the node."""
    run(str(STANDIN / "load-image.sh"), *names, timeout_s=900)


def restart_kubelet() -> None:
    """Kills the kubelet, and waits until the one that the node starts in its place has reported to the API server."""
    pid = node_pid()
    assert pid is not None
    inside = int((RUN / "pids" / "kubelet").read_text())
    run("nsenter", "--target", str(pid), "--pid", "bash", "-c", f"kill -KILL {inside}")
    before = _renewed()
    eventually(lambda: _renewed() != before, 180, "a report of the new kubelet")


def _renewed() -> str:
    """Returns when the kubelet last said that it is alive."""
    return run(
        "kubectl", "--namespace", "kube-node-lease", "get", "lease", "node1", "--output=jsonpath={.spec.renewTime}"
    )


def kill_program(pod: dict[str, Any], words: str) -> None:
    """SIGKILLs the program of a pod whose command line holds `words`, from outside, as a crash would."""
    mark = pod["metadata"]["uid"].replace("-", "[-_]")
    pids = [pid for pid in _pids() if re.search(mark, _read(pid, "cgroup")) and words in _read(pid, "cmdline")]
    assert pids, f"no process of {pod['metadata']['name']} with {words}"
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").replace("\0", " ")
    return ""


@dataclass
class Release:
    """The platform, installed by the chart."""

    def exec(self, component: str, *command: str, check: bool = True, timeout_s: float = 300) -> str:
        """Runs a command in a component's pod."""
        return kubectl("exec", f"deploy/{RELEASE}-{component}", "--", *command, check=check, timeout_s=timeout_s)

    def psql(self, query: str) -> str:
        """Asks the platform's database; rows by line, columns by ``|``."""
        return kubectl("exec", "postgres-0", "--", "psql", "-XAtqU", "postgres", "-d", "rtp", "-c", query).strip()

    def count(self, query: str) -> int:
        """Returns the number that a query gives; 0 while there is no table, or no PostgreSQL."""
        with contextlib.suppress(AssertionError, ValueError):
            return int(self.psql(query))
        return 0

    def rows(self, source: str = "%") -> int:
        """Counts transactions whose source is like this pattern."""
        return self.count(f"select count(*) from transactions where source like '{source}'")  # noqa: S608 - the test's own text

    def wait_for_more_rows(self, timeout_s: float = 300) -> None:
        """Waits until further rows have arrived."""
        before = self.rows()
        eventually(lambda: self.rows() > before, timeout_s, "more rows")

    def verify(self) -> dict[str, Any]:
        """Runs ``rtp verify`` in the code location's pod and returns its findings, agreeing or not."""
        text = self.exec("batch", "rtp", "verify", "--json", "--timeout", "300s", check=False, timeout_s=600)
        findings: dict[str, Any] = json.loads(text)
        return findings

    def assert_nothing_lost_or_twice(self) -> None:
        """Checks that Kafka, ledger and tables agree, and that each record is one row."""
        findings = self.verify()
        assert findings["ok"], findings
        assert (findings["duplicates"], findings["dead_lettered"], findings["skipped"]) == (0, 0, 0), findings

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Returns the pods of a component that are not on their way out."""
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        return [pod for pod in found("pods", selector) if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, component: str) -> int:
        """Returns how many pods of a component are ready."""
        return sum(map(is_ready, self.pods(component)))

    def wait_rolled_out(self, timeout_s: float = 1800) -> None:
        """Waits until every Deployment of the release has its pods as it wants them."""
        for deployment in found("deployments", f"app.kubernetes.io/instance={RELEASE}"):
            name = deployment["metadata"]["name"]
            kubectl("rollout", "status", f"deployment/{name}", f"--timeout={timeout_s:.0f}s", timeout_s=timeout_s + 60)

    @contextlib.contextmanager
    def forwarded(self, component: str, port: int) -> Iterator[str]:
        """Makes a component's port reachable from here; yields its address."""
        local = free_port()
        command = ("kubectl", "--namespace", NAMESPACE, "port-forward", f"svc/{RELEASE}-{component}", f"{local}:{port}")
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as tunnel:
            try:
                wait_until(lambda: _accepts(local), 60, "the forwarded port")
                yield f"http://127.0.0.1:{local}"
            finally:
                tunnel.terminate()

    def send(self, component: str, port: int, method: str, path: str, body: Any = None) -> Any:
        """Sends JSON to an API and returns its answer."""
        data = None if body is None else json.dumps(body).encode()
        with self.forwarded(component, port) as url:
            request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)


def is_ready(pod: dict[str, Any]) -> bool:
    """Tells whether a pod is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def restarts(pods: list[dict[str, Any]]) -> int:
    """Returns how often containers of these pods were started again."""
    return sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", ()))


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
