"""The consumer's page in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, is_ready
from tests.conftest import Stack, StartRtp
from tests.foreign_topics import new_topic, send, simple_section, wait_for_topics, with_topics, write_sections
from tests.programs import RunningProgram, run_rtp
from tests.reading import dead_letters, ledger_sums, query, wait_for_ledger
from tests.records import body, produce
from tests.topic_records import body as document_body
from tests.waiting import wait_until

LOST = """
insert into log_losses (topic_id, kafka_partition, generation, topic, from_offset, to_offset)
values ('AAAAAAAAAAAAAAAAAAAAAA', %s, 0, 'transactions', 3, 10)
"""


@pytest.fixture
def url(stack: Stack) -> str:
    """Where the consumer answers."""
    return stack.endpoints.need("consumer_url")


@pytest.fixture
def consumer(url: str, stack: Stack, start_rtp: StartRtp) -> RunningProgram:
    """A running consumer that has stored five rows and refused two records."""
    program = start_rtp("consume", env=stack.env)
    wait_until(lambda: is_ready(url), timeout_s=60, what="readiness")
    produce(stack, [*(body(f"t{number}", merchant=f"Shop {number}") for number in range(5)), b"nonsense", None])
    wait_for_ledger(stack)
    return program


def test_it_shows_what_was_stored_and_that_the_ledger_balances(consumer: RunningProgram, url: str, page: Page) -> None:
    page.goto(url)
    expect(page.locator("#rows")).to_have_text("5", timeout=PATIENCE_MS)
    expect(page.locator("#letters-total")).to_have_text("2")
    expect(page.locator("#latest tr")).to_have_count(5)
    expect(page.locator("#latest tr").first).to_contain_text("Shop 4")
    expect(page.locator("#partitions tr")).to_have_count(6)
    expect(page.locator("#verdict")).to_have_text("The ledger balances.", timeout=PATIENCE_MS)
    expect(page.locator("#says")).to_contain_text("5 rows counted = 5 inserted")
    expect(page.locator("#topics")).to_be_hidden()


def test_it_shows_each_mapped_topic_and_why_one_is_not_consumed(
    url: str, stack: Stack, start_rtp: StartRtp, page: Page
) -> None:
    mapped, unmapped = new_topic(stack, "payments"), new_topic(stack, "later")
    write_sections(stack, simple_section(mapped))
    send(stack, mapped, [document_body(id="p1"), document_body(id="p2"), document_body(id="p1"), b"not json"])
    start_rtp("consume", env=with_topics(stack))
    wait_for_topics(stack, [mapped])
    page.goto(url)
    row = page.locator("#topic-rows tr", has_text=mapped)
    expect(row.locator("td").nth(2)).to_have_text("0", timeout=PATIENCE_MS)
    for place, figure in ((4, "2"), (5, "1"), (6, "1")):
        expect(row.locator("td").nth(place)).to_have_text(figure, timeout=PATIENCE_MS)
    waiting = page.locator("#topic-rows tr", has_text=unmapped)
    expect(waiting).to_contain_text("not consumed")
    expect(waiting).to_contain_text(f"rtp map --topic {unmapped}")
    expect(page.locator("#letters li").first).to_contain_text(f"{mapped} ")


def test_a_row_that_is_gone_turns_the_verdict(consumer: RunningProgram, url: str, stack: Stack, page: Page) -> None:
    page.goto(url)
    expect(page.locator("#verdict")).to_have_text("The ledger balances.", timeout=PATIENCE_MS)
    query(stack, "delete from transactions where transaction_id = 't3'")
    expect(page.locator("#verdict")).to_have_text("The ledger does not balance.", timeout=2 * PATIENCE_MS)
    expect(page.locator("#says")).to_contain_text("deleted by something other")


def test_what_kafka_has_lost_stays_on_the_page_until_it_is_confirmed(
    consumer: RunningProgram, url: str, stack: Stack, page: Page
) -> None:
    page.goto(url)
    expect(page.locator("#rows")).to_have_text("5", timeout=PATIENCE_MS)
    expect(page.locator("#notice")).to_be_hidden()
    for number in range(5):
        query(stack, LOST, number)
    expect(page.locator("#notice")).to_contain_text("up to 7 records", timeout=PATIENCE_MS)
    expect(page.locator("#notice")).to_contain_text("rtp losses --confirm")
    expect(page.locator("#notice")).to_contain_text("and 2 more")
    expect(page.locator("#trouble")).to_be_hidden()
    assert run_rtp("losses", "--confirm", env=stack.env).returncode == 0
    expect(page.locator("#notice")).to_be_hidden(timeout=PATIENCE_MS)


def test_pressing_pause_lets_the_lag_grow_and_resume_ends_it(
    consumer: RunningProgram, url: str, stack: Stack, page: Page
) -> None:
    page.goto(url)
    button = page.locator("#toggle")
    expect(button).to_have_text("Pause", timeout=PATIENCE_MS)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("paused", timeout=PATIENCE_MS)
    expect(page.locator("#trouble")).to_contain_text("paused on the page")
    produce(stack, [body(f"u{number}") for number in range(30)], kafka_partition=3)
    expect(page.locator("#lag")).to_have_text("30", timeout=PATIENCE_MS)
    expect(page.locator("#partitions tr").nth(3).locator("td").nth(2)).to_have_text("30")
    produce(stack, [body(f"v{number}") for number in range(20)], kafka_partition=3)
    expect(page.locator("#lag")).to_have_text("50", timeout=PATIENCE_MS)
    expect(button).to_have_text("Resume")
    page.keyboard.press("Enter")
    expect(page.locator("#lag")).to_have_text("0", timeout=PATIENCE_MS)
    expect(page.locator("#rows")).to_have_text("55", timeout=PATIENCE_MS)
    expect(page.locator("#trouble")).to_be_hidden()


def test_pressing_replay_sends_the_record_again(consumer: RunningProgram, url: str, stack: Stack, page: Page) -> None:
    page.goto(url)
    letters = page.locator("#letters li")
    expect(letters).to_have_count(2, timeout=PATIENCE_MS)
    letter = page.locator("#letters li", has_text="nonsense")
    expect(letter).to_contain_text("not JSON")
    letter.get_by_role("button").click()
    expect(page.locator(".toast")).to_contain_text("1 sent again", timeout=PATIENCE_MS)
    expect(letters).to_have_count(3, timeout=PATIENCE_MS)
    expect(page.locator("#letters li", has_text="sent again")).to_have_count(1, timeout=PATIENCE_MS)
    assert ledger_sums(stack)["dead_lettered"] == 3
    page.locator("#replay-all").click()
    expect(page.locator(".toast")).to_contain_text("2 sent again", timeout=PATIENCE_MS)
    expect(letters).to_have_count(5, timeout=PATIENCE_MS)
    assert sum(letter["replayed_at"] is not None for letter in dead_letters(stack)) == 3


HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg/onload=document.title='owned'>",
    "<a href=\"javascript:document.title='owned'\">see</a>",
    "javascript:document.title='owned'",
    "</td></tr></table></code></main><script>document.title='owned'</script>",
    '" autofocus onfocus="document.title=\'owned\'" x="',
    "${document.title='owned'}{{document.title='owned'}}",
    "\u202eevil\u2066 \u200fend",
)
MARKUP = "main :is(script, img, svg, iframe, a, style, [onerror], [onload], [onfocus])"
# Text that turns the direction of writing ends at the borders of its block, so it cannot reorder what is next to it.
ALL_ARE_BLOCKS = """[...document.querySelectorAll('#latest td, #letters .what, #letters .value')]
    .every((one) => getComputedStyle(one).display !== 'inline')"""


def test_what_a_record_says_is_text_and_never_markup(
    consumer: RunningProgram, url: str, stack: Stack, page: Page
) -> None:
    page.goto(url)
    expect(page.locator("#latest tr")).to_have_count(5, timeout=PATIENCE_MS)
    own_markup = page.locator(MARKUP).count()
    for number, text in enumerate(HOSTILE):
        row = body(f"h{number}", merchant=text, category=text, customer_id=text[:64], attributes={text: text})
        produce(stack, [row, text.encode()], headers=[("source", text.encode())])
    produce(stack, [body(HOSTILE[0], amount=HOSTILE[1])])
    expect(page.locator("#letters li")).to_have_count(2 + len(HOSTILE) + 1, timeout=PATIENCE_MS)
    for number, text in enumerate(HOSTILE):
        row_cells = page.locator("#latest tr", has=page.get_by_text(f"h{number}", exact=True)).locator("td")
        for place in (3, 4, 7):
            expect(row_cells.nth(place)).to_have_text(text, timeout=PATIENCE_MS)
        expect(page.locator("#letters").get_by_text(text, exact=True)).to_have_count(1)
    assert page.locator(MARKUP).count() == own_markup
    assert "owned" not in page.title()
    assert page.evaluate(ALL_ARE_BLOCKS)


def test_a_text_of_100_kb_is_cut_and_moves_nothing(
    consumer: RunningProgram, url: str, stack: Stack, page: Page
) -> None:
    long = "<b>" + "x" * 100_000
    produce(stack, [long.encode(), body("t9", merchant=long), body("t8", **{long: "unknown"})])
    for width in (360, 1_280):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(url)
        expect(page.locator("#letters li")).to_have_count(4, timeout=PATIENCE_MS)
        expect(page.locator("#latest tr").first).to_contain_text("t8")
        assert len(page.content()) < 100_000
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_token_is_asked_for_once(url: str, stack: Stack, start_rtp: StartRtp, page: Page) -> None:
    start_rtp("consume", env={**stack.env, "RTP_API_TOKEN": "correct horse"})
    wait_until(lambda: is_ready(url), timeout_s=60, what="readiness")
    page.goto(url)
    page.get_by_label("API token").fill("correct horse")
    page.keyboard.press("Enter")
    expect(page.locator("#toggle")).to_have_text("Pause", timeout=PATIENCE_MS)
    page.locator("#toggle").click()
    expect(page.locator("#state")).to_have_text("paused", timeout=PATIENCE_MS)
    expect(page.locator("#toggle")).to_have_text("Resume", timeout=PATIENCE_MS)
    page.locator("#toggle").click()
    expect(page.locator("#toggle")).to_have_text("Pause", timeout=PATIENCE_MS)
    page.reload()
    expect(page.locator("#state")).to_have_text("idle", timeout=PATIENCE_MS)
    page.goto(f"{url}/docs")
    page.get_by_text("/history").click()
    page.locator("details[open] button").click()
    expect(page.locator("details[open] pre")).to_contain_text("200 OK", timeout=PATIENCE_MS)
    assert page.get_by_label("API token").count() == 0


def test_a_viewers_token_shows_and_changes_nothing(url: str, stack: Stack, start_rtp: StartRtp, page: Page) -> None:
    start_rtp("consume", env={**stack.env, "RTP_API_TOKEN": "correct horse", "RTP_READ_TOKEN": "only looking"})
    wait_until(lambda: is_ready(url), timeout_s=60, what="readiness")
    produce(stack, [body("t1", merchant="Shop 1")])
    page.goto(url)
    expect(page.get_by_label("API token")).to_be_visible(timeout=PATIENCE_MS)
    assert "Shop 1" not in page.content()
    page.get_by_label("API token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_label("API token")).to_have_value("", timeout=PATIENCE_MS)
    page.get_by_label("API token").fill("only looking")
    page.keyboard.press("Enter")
    expect(page.locator("#latest tr").first).to_contain_text("Shop 1", timeout=PATIENCE_MS)
    page.locator("#toggle").click()
    expect(page.locator(".toast")).to_contain_text("RTP_READ_TOKEN can only read", timeout=PATIENCE_MS)
    expect(page.locator("#toggle")).to_have_text("Pause")


def test_whoever_gives_no_token_is_asked_once_and_sees_nothing(
    url: str, stack: Stack, start_rtp: StartRtp, page: Page
) -> None:
    start_rtp("consume", env={**stack.env, "RTP_API_TOKEN": "correct horse"})
    wait_until(lambda: is_ready(url), timeout_s=60, what="readiness")
    page.goto(url)
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE_MS)
    expect(page.locator("#trouble")).to_contain_text("needs the service's token", timeout=PATIENCE_MS)
    expect(page.get_by_label("API token")).to_have_count(0)
    page.goto(f"{url}/docs")
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE_MS)
    expect(page.locator("#description")).to_contain_text("token is missing", timeout=PATIENCE_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1_280])
def test_it_fits_a_phone_and_a_desk_by_day_and_by_night(
    scheme: str, width: int, consumer: RunningProgram, url: str, page: Page
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(url)
    expect(page.locator("#latest tr")).to_have_count(5, timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (sum(ground) < 200) is (scheme == "dark")
    assert page.evaluate("[...document.querySelectorAll('.chart canvas')].every((one) => one.width > 100)")
