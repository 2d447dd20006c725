"""The producer's page in a real Chromium."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, is_ready, watched_page
from tests.conftest import Stack, StartRtp
from tests.waiting import wait_until


@pytest.fixture
def url(stack: Stack, start_rtp: StartRtp) -> str:
    """The address of a running producer."""
    found = stack.endpoints.need("producer_url")
    start_rtp("produce", env=stack.env)
    wait_until(lambda: is_ready(found), timeout_s=120, what="readiness")
    return found


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page; what it logs as an error, or asks of another host, fails the test."""
    # A missing token and a service that is gone are what two of the tests are about; the browser logs them too.
    with watched_page("401", "net::ERR") as opened:
        yield opened


def number(page: Page, selector: str) -> float:
    """Returns the number that an element shows; 0 while it shows none."""
    text = (page.locator(selector).text_content() or "").replace(",", "")
    return float(text) if text.replace(".", "").isdigit() else 0.0


def status(url: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{url}/status", timeout=60).json()
    return found


def test_the_slider_changes_the_rate_that_is_shown(url: str, page: Page) -> None:
    page.goto(url)
    expect(page.locator("#state")).to_have_text("running", timeout=PATIENCE_MS)
    slider = page.locator("#slider")
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.32, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.566, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    wait_until(
        lambda: 850 <= float(str(status(url)["target_records_per_s"])) <= 1_200, what="the target of about 1,000/s"
    )
    wait_until(lambda: number(page, "#rate") > 800, what="the rate on the page")
    assert float(page.locator("#exact").input_value()) == status(url)["target_records_per_s"]


def test_the_keyboard_is_enough(url: str, page: Page) -> None:
    page.goto(url)
    expect(page.locator("#toggle")).to_have_text("Stop", timeout=PATIENCE_MS)
    page.locator("#slider").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    wait_until(lambda: float(str(status(url)["target_records_per_s"])) > 90, what="twice the rate")
    page.locator("#toggle").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("stopped", timeout=PATIENCE_MS)
    assert status(url)["running"] is False
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("running", timeout=PATIENCE_MS)


def test_a_burst_and_chaos_are_a_click_away(url: str, page: Page) -> None:
    page.goto(url)
    expect(page.locator("#state")).to_have_text("running", timeout=PATIENCE_MS)
    page.get_by_label("Duplicates", exact=True).check()
    wait_until(lambda: status(url)["chaos"] == {"duplicate": 0.01, "late": 0.0, "corrupt": 0.0}, what="1% duplicates")
    page.get_by_label("Corrupt records, percent").fill("2.5")
    page.get_by_label("Corrupt records", exact=True).check()
    wait_until(lambda: status(url)["chaos"] == {"duplicate": 0.01, "late": 0.0, "corrupt": 0.025}, what="2.5% corrupt")
    page.get_by_label("Burst of 10,000 records").click()
    wait_until(lambda: number(page, "#generated") > 10_000, what="the burst on the page")
    wait_until(lambda: number(page, ".chaos .sent >> nth=0") > 30, what="duplicates on the page")


def test_it_fits_a_phone_and_a_desk_by_day_and_by_night(url: str, page: Page) -> None:
    for dark, width in itertools.product((False, True), (360, 1_280)):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(url)
        expect(page.locator("#rate")).not_to_have_text("–", timeout=PATIENCE_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (sum(ground) < 200) is dark
        assert page.evaluate("document.querySelector('#chart canvas').width") > 100


def test_a_lost_service_is_said_and_found_again(stack: Stack, start_rtp: StartRtp, page: Page) -> None:
    url = stack.endpoints.need("producer_url")
    program = start_rtp("produce", env=stack.env)
    wait_until(lambda: is_ready(url), timeout_s=120, what="readiness")
    page.goto(url)
    expect(page.locator("#state")).to_have_text("running", timeout=PATIENCE_MS)
    program.kill()
    expect(page.locator("#state")).to_have_text("no connection", timeout=PATIENCE_MS)
    start_rtp("produce", env=stack.env)
    expect(page.locator("#state")).to_have_text("running", timeout=PATIENCE_MS)


def test_the_token_is_asked_for_once(stack: Stack, start_rtp: StartRtp, page: Page) -> None:
    url = stack.endpoints.need("producer_url")
    start_rtp("produce", env={**stack.env, "RTP_API_TOKEN": "open sesame"})
    wait_until(lambda: is_ready(url), timeout_s=120, what="readiness")
    page.goto(url)
    page.get_by_label("API token").fill("open sesame")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Burst of 1,000 records").click()
    wait_until(lambda: number(page, "#generated") > 1_000, what="the burst on the page")
    page.locator("#toggle").click()
    expect(page.locator("#state")).to_have_text("stopped", timeout=PATIENCE_MS)


def test_the_api_reference_works_offline(url: str, page: Page) -> None:
    page.goto(f"{url}/docs")
    page.get_by_text("/burst").click()
    page.locator("details[open] button").click()
    expect(page.locator("details[open] pre")).to_contain_text("200 OK", timeout=PATIENCE_MS)
