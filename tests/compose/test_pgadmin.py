"""pgAdmin opened with a browser: logged in, connected by its pgpass file, the table seen to grow."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from playwright.sync_api import Frame, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.compose.docker import Project
from tests.pgadmin_web import PgAdmin
from tests.waiting import wait_until

EMAIL = "rtp@example.com"
SERVER = "transactions (read-only)"
PATIENCE_MS = 90_000  # pgAdmin has a quarter of a core
INSIGHTS_S = 540


def test_the_registered_server_connects_as_the_reader(platform: Project) -> None:
    answer = PgAdmin(platform.url("PGADMIN", ""), EMAIL, _password(platform)).connect_first_server()
    assert answer["success"] == 1, answer
    assert answer["data"]["user"]["name"] == "rtp_read"


def test_the_saved_queries_are_there_and_run(platform: Project) -> None:
    listed = platform.exec("pgadmin", "sh", "-c", "ls /var/lib/pgadmin/storage/rtp_example.com/queries").splitlines()
    assert len(listed) >= 6
    wait_until(lambda: _has_insights(platform), INSIGHTS_S, "the tables of the insights")
    for name in listed:
        text = platform.exec("pgadmin", "cat", f"/var/lib/pgadmin/storage/rtp_example.com/queries/{name}")
        platform.psql(f"begin; set local role rtp_read; {text} rollback;")


def test_a_browser_logs_in_and_sees_the_table_grow(platform: Project, artifacts: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium is not None, "Chromium is needed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        _log_in(page, platform)
        tool = _open_query_tool(page)
        tool.locator(".cm-content").first.focus()
        page.keyboard.type("select count(*) as rows from transactions;")
        first = _run(page, tool, above=0)
        wait_until(lambda: platform.rows() > first, 60, "new rows")
        second = _run(page, tool, above=first)
        page.screenshot(path=artifacts / "pgadmin.png")
        browser.close()
    assert second > first > 0


def _has_insights(platform: Project) -> bool:
    """Tells whether Dagster has made the tables of the insights, some minutes after the first rows."""
    time.sleep(2)
    return platform.psql("select to_regclass('insights.customer_activity') is not null") == "t"


def _log_in(page: Page, platform: Project) -> None:
    page.goto(platform.url("PGADMIN", "/login"))
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", _password(platform))
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_text("Object Explorer")).to_be_visible(timeout=PATIENCE_MS)


def _open_query_tool(page: Page) -> Frame:
    _open_tree(page, ("Servers", SERVER, "Databases", "rtp"))
    _node(page, "rtp", exact=True).click()
    page.locator("button[data-label='Query Tool']:enabled").click()
    wait_until(lambda: _editor_frames(page), PATIENCE_MS / 1000, "the query tool")
    frame = _editor_frames(page)[-1]
    frame.locator(".cm-content").first.wait_for(state="attached")
    return frame


def _editor_frames(page: Page) -> list[Frame]:
    page.wait_for_timeout(200)
    return [frame for frame in page.frames if "/sqleditor/" in frame.url]


def _open_tree(page: Page, path: tuple[str, ...]) -> None:
    """Opens the tree along `path`. pgAdmin drops a click that comes while it still loads, so each may need another."""
    _node(page, path[0]).wait_for()
    for _ in range(12):
        shown = [name for name in path if _node(page, name).is_visible()]
        if shown == list(path):
            return
        _node(page, shown[-1]).dblclick()
        with contextlib.suppress(PlaywrightTimeout):
            _node(page, path[len(shown)]).wait_for(timeout=PATIENCE_MS / 3)
    raise AssertionError(f"the tree shows {shown} of {path}")


def _node(page: Page, name: str, *, exact: bool = False) -> Locator:
    return page.locator(".file-entry").get_by_text(name, exact=exact).first


def _run(page: Page, tool: Frame, above: int) -> int:
    """Runs the query and returns the count it shows, once that is above the last one."""

    def shown() -> int:
        page.wait_for_timeout(200)
        cells = tool.locator("[role=gridcell]").all_inner_texts()
        return int(cells[-1]) if cells and cells[-1].isdigit() else 0

    page.keyboard.press("F5")
    wait_until(lambda: shown() > above, PATIENCE_MS / 1000, f"a count above {above}")
    return shown()


def _password(platform: Project) -> str:
    return platform.exec("pgadmin", "cat", "/run/rtp/password").strip()
