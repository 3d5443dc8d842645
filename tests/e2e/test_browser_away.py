"""The network goes while somebody is at a page: the page says so, loses nothing, and goes on by itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.clips import make_clip
from tests.demo import ADA, TEST_CARD, Demo
from tests.e2e.browser import Visitor, browser, running_browser, visitor

__all__ = ["browser", "running_browser"]

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(1200),
    pytest.mark.asyncio(loop_scope="module"),
]
SLOW_MS = 150_000
"""A look for the server is 15 s after the one before it, at the most 22.5 s, and up to 10 s long."""


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(browser: Browser, demo: Demo) -> AsyncIterator[Visitor]:
    """A guest at a new device, whose browser may say that nothing can be loaded."""
    async with visitor(browser, demo) as person:
        person.expected.append(re.compile(r"ERR_INTERNET_DISCONNECTED|ERR_NETWORK_CHANGED"))
        yield person


async def is_told_of(person: Visitor, *, away: bool) -> None:
    """Whether the page says that the server is away."""
    told = person.page.get_by_test_id("away")
    await expect(told).to_have_text(re.compile("The server is away" if away else "^$"), timeout=SLOW_MS)


async def test_the_shelf_and_a_search_come_when_the_network_does(somebody: Visitor, demo: Demo) -> None:
    page = somebody.page
    await page.goto(f"{demo.url}/sign-in")
    await expect(page.get_by_test_id("sign-in-submit")).to_be_visible()
    await somebody.context.set_offline(True)
    await page.locator("header a[href='/']").click()
    await expect(page.get_by_role("heading", name="The shelf did not come")).to_be_visible()
    await is_told_of(somebody, away=True)
    await page.get_by_role("searchbox").fill("test card")
    await expect(page.get_by_role("heading", name="The search did not work")).to_be_visible()
    await somebody.context.set_offline(False)
    await expect(page.get_by_role("heading", name="One title for “test card”")).to_be_visible(timeout=SLOW_MS)
    await is_told_of(somebody, away=False)
    await page.locator("header a[href='/']").click()
    await expect(page.get_by_test_id("shelf-card").first).to_be_visible()


async def test_a_film_that_was_asked_for_without_a_network_begins_by_itself(somebody: Visitor, demo: Demo) -> None:
    page = somebody.page
    await page.goto(demo.url)
    card = page.locator(f'[data-testid="shelf-card"][data-content-id="{demo.id_of(TEST_CARD)}"]').first
    await expect(card).to_be_visible()
    await somebody.context.set_offline(True)
    await card.click()
    refused = page.get_by_test_id("refused")
    await expect(refused).to_contain_text("The server cannot be reached")
    await somebody.context.set_offline(False)
    await expect(refused).to_have_count(0, timeout=SLOW_MS)
    await somebody.plays_on(1, SLOW_MS / 1000)


async def test_an_upload_waits_for_the_network_whatever_page_is_open(
    somebody: Visitor, demo: Demo, tmp_path: Path
) -> None:
    page = somebody.page
    await somebody.sign_in(ADA)
    await page.goto(f"{demo.url}/studio")
    await page.get_by_test_id("upload-input").set_input_files(await make_clip(tmp_path / "train.mp4", seconds=1))
    await page.get_by_test_id("upload-title").fill("From a train")
    await somebody.context.set_offline(True)
    await page.get_by_test_id("upload-submit").click()
    row = page.get_by_test_id("upload-row").filter(has_text="From a train")
    await expect(row).to_have_attribute("data-state", "waiting")
    await page.get_by_test_id("account-link").click()
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    await somebody.context.set_offline(False)
    await page.get_by_role("link", name="Studio").click()
    await expect(row).to_have_attribute("data-state", "done", timeout=SLOW_MS)
