"""Debian's Chromium as a person's browser: a new profile each time, and an ear for everything that goes wrong in a page.

One browser serves a module: its start costs 0.8 s of processor time, and a context has nothing of another's. Tests that
take the fixture `browser` run in their module's loop (`pytest.mark.asyncio(loop_scope="module")`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Response, async_playwright, expect

from tests.demo import Demo
from tests.waiting import until

ARGUMENTS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
PATIENCE_MS = 60_000
BUSY = re.compile(r"\b503\b")
"""What a machine that stands still is honestly answered with. A page asks again; one that does not fails what its test waits for."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with no profile, ended with everything in it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_browser() -> AsyncIterator[Browser]:
    """The browser of a module's tests."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def browser(running_browser: Browser) -> AsyncIterator[Browser]:
    """A browser in which nobody is; what a test opens is closed after it."""
    assert running_browser.contexts == []
    yield running_browser
    for context in running_browser.contexts:
        await context.close()


@dataclass
class Visitor:
    """One person at one device: a context of its own, and what its pages complained of."""

    demo: Demo
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)
    """Refusals the test provokes: the browser logs each answer of 4xx as an error of the page."""

    def heard_nothing(self) -> None:
        """Asserts that no page logged an error, broke its content policy, threw, or was answered with 5xx other than "busy"."""
        rest = [text for text in self.complaints if not any(pattern.search(text) for pattern in (BUSY, *self.expected))]
        assert rest == []

    async def sign_in(self, email: str) -> None:
        """Through the form."""
        await self.page.goto(f"{self.demo.url}/sign-in")
        await self.page.get_by_test_id("sign-in-email").fill(email)
        await self.page.get_by_test_id("sign-in-password").fill(self.demo.password_of(email))
        await self.page.get_by_test_id("sign-in-submit").click()
        await self.page.wait_for_url(f"{self.demo.url}/")

    async def watch(self, title: str) -> None:
        """Goes to a title's page."""
        await self.page.goto(f"{self.demo.url}/watch/{self.demo.id_of(title)}")

    async def video(self, expression: str) -> Any:
        """The value of a JavaScript expression over `video`."""
        return await self.page.evaluate(
            f"(() => {{ const video = document.querySelector('video'); return {expression}; }})()"
        )

    async def position_s(self) -> float:
        """Where the picture is."""
        return float(await self.video("video ? video.currentTime : -1"))

    async def plays_on(self, by_s: float = 1.0, timeout_s: float = 60) -> float:
        """Waits until the position has grown by `by_s` without a jump; the position."""
        seen = [await self.position_s()]

        async def grown() -> bool:
            now = await self.position_s()
            if now < seen[-1] or now > seen[-1] + 5:
                seen.clear()
            seen.append(now)
            return seen[-1] - seen[0] >= by_s

        await until(grown, timeout_s, "the picture to move")
        return seen[-1]


@asynccontextmanager
async def visitor(browser: Browser, demo: Demo, **options: Any) -> AsyncIterator[Visitor]:
    """A new device. Asserts at the end that nothing went wrong in its pages."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", **options)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = await context.new_page()
    person = Visitor(demo, context, page)

    def logged(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            person.complaints.append(f"{message.type}: {message.text} at {message.location.get('url', '')}")

    def answered(response: Response) -> None:
        if response.status >= 500:
            person.complaints.append(f"{response.status} {response.url}")

    page.on("console", logged)
    page.on("pageerror", lambda error: person.complaints.append(f"thrown: {error}"))
    page.on("response", answered)
    page.on("crash", lambda _: person.complaints.append("the page crashed"))
    await page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (e) => "
        "console.error('content policy: ' + e.violatedDirective + ' ' + e.blockedURI));"
    )
    try:
        yield person
    finally:
        await context.close()
    person.heard_nothing()
