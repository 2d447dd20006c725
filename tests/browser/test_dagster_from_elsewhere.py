"""Dagster's webserver in a real browser: its own pages work, pages of another origin reach nothing."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from rtp_workers.local import ports
from tests.browser.conftest import CHROMIUM, PATIENCE_MS
from tests.programs import clean_env
from tests.waiting import wait_until

QUERY = "{ runsOrError { ... on Runs { results { runId } } } }"
GUARDED, UNGUARDED = "rtp_dagster.webserver", "dagster_webserver"
TOKEN = "a token"  # noqa: S105 - a made-up one


@dataclass(frozen=True)
class Webserver:
    """Dagster's webserver as the platform starts it, with a run that an attacker would like to delete."""

    url: str
    run_id: str
    headers: dict[str, str]

    def runs(self) -> list[str]:
        """Returns the runs that are left."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": QUERY}, headers=self.headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return [run["runId"] for run in answer.json()["data"]["runsOrError"]["results"]]

    @property
    def mutation(self) -> str:
        """The GraphQL that deletes the run."""
        return f'mutation {{ deleteRun(runId: "{self.run_id}") {{ __typename }} }}'


def start(folder: Path, module: str = GUARDED, **settings: str) -> tuple[subprocess.Popen[bytes], Webserver]:
    """Starts a webserver with an empty workspace and a storage of files; `module` is ours, or Dagster's own."""
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    run_id = add_run(folder)
    port = ports.free_port()
    env = clean_env(DAGSTER_HOME=str(folder), RTP_HOME=str(folder), **settings)
    command = [sys.executable, "-m", module, "-p", str(port), "--empty-workspace"]
    with (folder / "webserver.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
    token = settings.get("RTP_API_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    served = Webserver(f"http://127.0.0.1:{port}", run_id, headers)
    wait_until(lambda: answers(served.url) or process.poll() is not None, 240, "Dagster's webserver")
    assert process.poll() is None, (folder / "webserver.log").read_text()
    return process, served


def add_run(folder: Path) -> str:
    """Adds a run to Dagster's storage and returns its id."""
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        return instance.create_run_for_job(dg.job(name="a_job")(lambda: None)).run_id


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/server_info", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    process, served = start(tmp_path_factory.mktemp("dagster"))
    yield served
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="module")
def unguarded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unguarded")


@pytest.fixture(scope="module")
def unguarded_server(unguarded_folder: Path) -> Iterator[Webserver]:
    process, served = start(unguarded_folder, UNGUARDED)
    yield served
    process.terminate()
    process.wait(60)


@pytest.fixture
def unguarded(unguarded_server: Webserver, unguarded_folder: Path) -> Webserver:
    """Dagster's own webserver, without the door, with one run more."""
    return replace(unguarded_server, run_id=add_run(unguarded_folder))


@pytest.fixture
def browser_page() -> Iterator[Page]:
    """A page whose errors do not fail the test: an attack that is refused logs some."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(params=["127.0.0.1", "localhost"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The origin of somebody else's pages (another port of the same site, or another site), and their folder."""
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{request.param}:{server.server_address[1]}", tmp_path
        server.shutdown()


ATTACK = """
<!doctype html><title>wait</title><body><script>
const url = URL_HERE, mutation = MUTATION_HERE, found = {};
const by_get = url + "/graphql?query=" + encodeURIComponent(mutation);
const image = new Promise(done => { const img = new Image(); img.onload = img.onerror = done; img.src = by_get; });
const get = fetch(by_get, {mode: "no-cors"}).catch(() => {});
const post = fetch(url + "/graphql?query=" + encodeURIComponent(mutation), {
    method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: "x"}).catch(() => {});
const form = new Promise(done => {
    const frame = document.createElement("iframe"); frame.name = "f"; document.body.append(frame);
    const form = document.createElement("form"); form.method = "post"; form.action = by_get; form.target = "f";
    document.body.append(form); frame.onload = done; form.submit(); });
const socket = new Promise(done => {
    const ws = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-ws");
    ws.onopen = () => { found.socket = "open"; done(); }; ws.onerror = () => { found.socket = "refused"; done(); }; });
const read = fetch(url + "/graphql?query=" + encodeURIComponent("{ version }"))
    .then(() => { found.read = "read"; }, () => { found.read = "refused"; });
Promise.all([image, get, post, form, socket, read]).then(() => { document.title = JSON.stringify(found); });
</script>
"""

# The least that a page needs: one image.
IMAGE = """
<!doctype html><title>wait</title><body><script>
const img = new Image(); img.onload = img.onerror = () => { document.title = "{}"; };
img.src = URL_HERE + "/graphql?query=" + encodeURIComponent(MUTATION_HERE);
</script>
"""


def test_a_page_of_another_origin_reaches_nothing(
    webserver: Webserver, elsewhere: tuple[str, Path], browser_page: Page
) -> None:
    assert attack(webserver, ATTACK, elsewhere, browser_page) == {"socket": "refused", "read": "refused"}
    assert webserver.runs() == [webserver.run_id]


@pytest.mark.parametrize("page", [ATTACK, IMAGE], ids=["every way", "an image"])
def test_without_the_door_the_same_page_deletes_the_run(
    unguarded: Webserver, elsewhere: tuple[str, Path], browser_page: Page, page: str
) -> None:
    """Shows that the attack is real: the test above would fail if the door stood open."""
    assert unguarded.run_id in unguarded.runs()
    found = attack(unguarded, page, elsewhere, browser_page)
    assert found.get("socket", "open") == "open"
    assert unguarded.run_id not in unguarded.runs()


def attack(target: Webserver, page: str, elsewhere: tuple[str, Path], browser: Page) -> dict[str, str]:
    """Opens somebody else's page, which attacks `target`, and returns what the page reports at its end."""
    origin, folder = elsewhere
    filled = page.replace("URL_HERE", json.dumps(target.url)).replace("MUTATION_HERE", json.dumps(target.mutation))
    (folder / "index.html").write_text(filled)
    browser.goto(f"{origin}/index.html")
    browser.wait_for_function("document.title != 'wait'")
    found: dict[str, str] = json.loads(browser.title())
    return found


def test_a_name_that_leads_here_by_rebinding_is_not_answered(webserver: Webserver) -> None:
    answer = httpx.post(f"{webserver.url}/graphql", json={"query": QUERY}, headers={"Host": "evil.example"}, timeout=60)
    assert answer.status_code == 421


def test_dagsters_own_pages_work_through_the_door(webserver: Webserver, page: Page) -> None:
    page.goto(f"{webserver.url}/runs")
    page.get_by_text("a_job").first.wait_for()
    with page.expect_websocket():
        page.goto(f"{webserver.url}/runs/{webserver.run_id}")
    page.get_by_text(webserver.run_id[:8]).first.wait_for()
    frames = page.evaluate(
        """url => new Promise(done => { const ws = new WebSocket(url, "graphql-ws");
        ws.onopen = () => ws.send(JSON.stringify({type: "connection_init"}));
        ws.onmessage = message => done(message.data); ws.onerror = () => done("refused"); })""",
        webserver.url.replace("http", "ws") + "/graphql",
    )
    assert "connection_ack" in frames


def test_with_a_token_a_browser_asks_for_it_and_a_program_sends_it(tmp_path: Path, browser_page: Page) -> None:
    process, served = start(tmp_path, RTP_API_TOKEN=TOKEN)
    try:
        assert httpx.get(served.url, timeout=60).status_code == 401
        assert served.runs() == [served.run_id]
        context = browser_page.context.browser.new_context(http_credentials={"username": "me", "password": TOKEN})  # type: ignore[union-attr]  # launched: has a browser
        inside = context.new_page()
        inside.goto(f"{served.url}/runs", timeout=PATIENCE_MS)
        inside.get_by_text("a_job").first.wait_for(timeout=PATIENCE_MS)
    finally:
        process.terminate()
        process.wait(60)


def test_read_only_shows_everything_and_changes_nothing(tmp_path: Path) -> None:
    process, served = start(tmp_path, RTP_DAGSTER_READ_ONLY="true")
    try:
        answer = httpx.post(f"{served.url}/graphql", json={"query": served.mutation}, timeout=60)
        assert "UnauthorizedError" in answer.text
        assert served.runs() == [served.run_id]
    finally:
        process.terminate()
        process.wait(60)
