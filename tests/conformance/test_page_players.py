"""The players that pages use, unmodified, on somebody else's page: hls.js, and shaka-player by HLS and by DASH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, ConsoleMessage, Page

from edge.cli.tools import NODE_FOLDER
from tests.conformance.test_players import manifest_of
from tests.demo import CAPTIONED, MUSIC, Demo
from tests.e2e.browser import chromium
from tests.waiting import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("node"), pytest.mark.timeout(1200)]

PATIENCE_S = 90
NEAR_THE_END_S = 4.0


@pytest.fixture
async def elsewhere() -> AsyncIterator[str]:
    """A site of another origin with the players' own builds on it; its address."""
    app = web.Application()
    page = Path(__file__).with_name("players.html")

    async def show(_: web.Request) -> web.FileResponse:
        return web.FileResponse(page)

    app.router.add_get("/", show)
    app.router.add_static("/modules", NODE_FOLDER / "node_modules", follow_symlinks=True)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def open_page(browser: Browser, url: str) -> tuple[Page, list[str]]:
    """The page, and what its console is told from now on."""
    page = await browser.new_page()
    heard: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            heard.append(f"{message.type}: {message.text}")

    page.on("console", listen)
    page.on("pageerror", lambda error: heard.append(f"thrown: {error}"))
    await page.goto(url)
    return page, heard


async def state(page: Page) -> dict[str, Any]:
    """What the page knows of its player and its video."""
    found: dict[str, Any] = await page.evaluate("state()")
    assert found["said"] == []
    assert found["failed"] is None
    return found


@pytest.mark.parametrize(
    ("player", "manifest"), [("hlsjs", "master.m3u8"), ("shaka", "master.m3u8"), ("shaka", "manifest.mpd")]
)
@pytest.mark.parametrize("title", [CAPTIONED, MUSIC])
async def test_plays_changes_rendition_seeks_and_ends_without_a_warning(
    demo: Demo, browser: Browser, elsewhere: str, player: str, manifest: str, title: str
) -> None:
    """From another origin, as an embedding site would: the picture moves, every rendition can be taken, the end is reached."""
    master = await manifest_of(demo, demo.id_of(title))
    whole_s = next(item["duration_s"] for item in demo.titles if item["title"] == title)
    page, heard = await open_page(browser, elsewhere)
    await page.evaluate("([player, url]) => start(player, url)", [player, master.replace("master.m3u8", manifest)])

    async def moved_past(at_s: float) -> bool:
        return float((await state(page))["at"]) > at_s

    await until(lambda: moved_past(1.0), PATIENCE_S, "the picture to move")
    found = await state(page)
    assert found["duration"] == pytest.approx(whole_s, abs=0.2)
    assert found["levels"] > (0 if title == MUSIC else 1)
    for _ in range(found["levels"]):
        before_s = float((await state(page))["at"])
        await page.evaluate("player.hop()")
        await until(lambda at_s=before_s: moved_past(at_s + 0.5), PATIENCE_S, "the next rendition to play")
    await page.evaluate("(to) => { video.currentTime = to; }", whole_s - NEAR_THE_END_S)

    async def has_ended() -> bool:
        return bool((await state(page))["ended"])

    await until(has_ended, PATIENCE_S, "the end")
    found = await state(page)
    assert (found["corrupted"], heard) == (0, [])
    await page.close()
