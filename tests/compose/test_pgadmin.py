"""pgAdmin opened with a browser: logged in, connected by its pgpass file, the table seen to grow."""

from __future__ import annotations

import http.cookiejar
import json
import re
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.compose.docker import Project
from tests.waiting import wait_until

EMAIL = "rtp@example.com"
PATIENCE_MS = 90_000  # pgAdmin has a quarter of a core


class PgAdmin:
    """pgAdmin by its own HTTP calls, as its page makes them."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._web = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        token = re.search(r'csrf_?[tT]oken["\']?\s*[:=]\s*\\?["\']([^"\'\\]+)', self._ask("/login"))
        assert token is not None
        form = {"email": EMAIL, "password": password, "csrf_token": token.group(1), "internal_button": "Login"}
        self._ask("/authenticate/login", urllib.parse.urlencode(form).encode())
        script = self._ask("/browser/js/utils.js")
        found = re.search(r"csrf_token'\] = '([^']+)'", script)
        assert found is not None, "pgAdmin refuses the login"
        self._token = found.group(1)

    def call(self, path: str, body: Any = None) -> Any:
        """Calls pgAdmin with the session's token."""
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._ask(path, data, {"X-pgA-CSRFToken": self._token, "Content-Type": "application/json"}))

    def _ask(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> str:
        request = urllib.request.Request(self._url + path, data, headers or {})
        with self._web.open(request, timeout=90) as answer:
            return str(answer.read().decode())


def test_the_registered_server_connects_as_the_reader(platform: Project) -> None:
    admin = PgAdmin(platform.url("PGADMIN", ""), _password(platform))
    (server,) = admin.call("/browser/server/obj/1/")
    answer = admin.call(f"/browser/server/connect/1/{server['id']}", {})
    assert answer["success"] == 1, answer
    assert answer["data"]["user"]["name"] == "rtp_read"


def test_the_saved_queries_are_there_and_run(platform: Project) -> None:
    listed = platform.exec("pgadmin", "sh", "-c", "ls /var/lib/pgadmin/storage/rtp_example.com/queries").splitlines()
    assert len(listed) >= 6
    for name in listed:
        text = platform.exec("pgadmin", "cat", f"/var/lib/pgadmin/storage/rtp_example.com/queries/{name}")
        platform.psql(f"begin; set local role rtp_read; {text} rollback;")


def test_a_browser_logs_in_and_sees_the_table_grow(platform: Project, artifacts: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        _log_in(page, platform)
        first = _count_in_query_tool(page)
        wait_until(lambda: platform.rows() > first, 60, "new rows")
        second = _run_again(page)
        page.screenshot(path=artifacts / "pgadmin.png")
        browser.close()
    assert second > first > 0


def _log_in(page: Page, platform: Project) -> None:
    page.goto(platform.url("PGADMIN", "/login"), timeout=PATIENCE_MS)
    page.fill("input[name=email]", EMAIL, timeout=PATIENCE_MS)
    page.fill("input[name=password]", _password(platform))
    page.click("button[name=internal_button]")
    expect(page.get_by_text("Object Explorer")).to_be_visible(timeout=PATIENCE_MS)


def _count_in_query_tool(page: Page) -> int:
    raise NotImplementedError


def _run_again(page: Page) -> int:
    raise NotImplementedError


def _password(platform: Project) -> str:
    return platform.exec("pgadmin", "cat", "/run/rtp/password").strip()
