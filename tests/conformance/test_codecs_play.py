"""HEVC, AV1 and encrypted titles in players of other people, from the real edge: hls.js in Chromium, ffmpeg, GStreamer."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from core.domain.media_keys import new_key, seal_key
from core.settings import ROOT
from tests.conformance.test_page_players import elsewhere, open_page, state
from tests.conformance.test_players import run
from tests.e2e.browser import chromium
from tests.edge.api.conftest import RING, House, edge_settings, house
from tests.edge.tokens.conftest import cast
from tests.transcoder.sources import encode_locally, ffmpeg, film
from tests.waiting import until
from transcoder.assemble import Generation
from transcoder.check import check_generation
from transcoder.codecs import CODECS
from transcoder.ladder import Wishes

__all__ = ["cast", "edge_settings", "elsewhere", "house"]

pytestmark = [pytest.mark.timeout(1200)]

SECONDS = 6
PATIENCE_S = 60
# The page's own hls.js, or the tests'.
HLS_JS = [ROOT / folder / "node_modules" / "hls.js" / "dist" / "hls.min.js" for folder in ("tests", "web")]
PAGE = "<!doctype html><title>player</title><video muted width=320 height=180></video>"
# `codec`: which level is to be played; nothing is asked of hls.js but what it offers to any page.
PLAYER = """([url, codec]) => new Promise((resolve, reject) => {
  const hls = new Hls({ debug: false });
  window.hls = hls;
  window.errors = [];
  hls.on(Hls.Events.ERROR, (_, data) => {
    window.errors.push(data.details);
    if (data.fatal) reject(new Error(data.details + ' ' + (data.response ? data.response.code : '')));
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    if (codec) {
      const wanted = hls.levels.findIndex((level) => level.videoCodec.startsWith(codec));
      hls.startLevel = wanted;
      hls.loadLevel = wanted;
    }
    resolve(hls.levels.map((level) => level.videoCodec));
  });
  hls.loadSource(url);
  hls.attachMedia(document.querySelector('video'));
  document.querySelector('video').play();
})"""


@pytest.fixture(scope="session")
def generation(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """Six seconds in every codec, with sound; never changed."""
    folder = tmp_path_factory.mktemp("every-codec")
    source = film(folder / "film.mp4", SECONDS)
    return asyncio.run(encode_locally(source, folder / "work", wishes=Wishes(CODECS))).generation


async def put(house: House, folder: Path) -> None:
    """The free film becomes this generation."""
    for path in await asyncio.to_thread(lambda: [found for found in folder.rglob("*") if found.is_file()]):
        await house.objects.put(f"hls/{house.cast.free_film}/1-1/{path.relative_to(folder)}", path)


async def manifest_url(house: House) -> str:
    grant = await house.play(house.cast.free_film)
    return str(house.client.make_url(grant["manifest_url"]))


async def page_with_hls(page: Page) -> None:
    await page.set_content(PAGE)
    await page.add_script_tag(path=next(path for path in HLS_JS if path.is_file()))


async def plays_to_its_end(page: Page) -> dict[str, Any]:
    """Waits for the end; what the video element counted."""

    async def ended() -> bool:
        return bool(await page.evaluate("document.querySelector('video').ended"))

    await until(ended, PATIENCE_S, "the film to end")
    found: dict[str, Any] = await page.evaluate(
        "(() => { const v = document.querySelector('video'), q = v.getVideoPlaybackQuality();"
        " return { position: v.currentTime, width: v.videoWidth, frames: q.totalVideoFrames, errors: window.errors,"
        " level: hls.levels[hls.currentLevel] && hls.levels[hls.currentLevel].videoCodec, error: v.error && v.error.message }; })()"
    )
    return found


@pytest.mark.needs("chromium", "node")
async def test_hls_js_plays_av1_and_leaves_out_what_the_browser_cannot(house: House, generation: Generation) -> None:
    await put(house, generation.folder)
    async with chromium() as browser:
        page = await browser.new_page()
        await page_with_hls(page)
        levels = await page.evaluate(PLAYER, [await manifest_url(house), "av01"])
        # Debian's Chromium decodes no HEVC: hls.js drops it by CODECS, which must therefore be right.
        assert {codec.partition(".")[0] for codec in levels} == {"avc1", "av01"}
        shown = await plays_to_its_end(page)
    assert shown["level"].startswith("av01.")
    assert shown["error"] is None
    assert shown["errors"] == []
    assert shown["width"] == 320
    assert shown["position"] == pytest.approx(SECONDS, abs=0.2)
    assert shown["frames"] > SECONDS * 25 / 2


@pytest.mark.needs("chromium", "node")
async def test_hls_js_plays_an_encrypted_title_and_asks_for_its_key_once(
    house: House, generation: Generation, tmp_path: Path
) -> None:
    key = await encrypted(house, generation, tmp_path)
    asked: list[str] = []
    async with chromium() as browser:
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        await page_with_hls(page)
        await page.evaluate(PLAYER, [await manifest_url(house), "avc1"])
        shown = await plays_to_its_end(page)
        assert shown["errors"] == []
        assert shown["position"] == pytest.approx(SECONDS, abs=0.2)
        keys = [url for url in asked if url.endswith(".key")]
        # One for the picture's playlist and one for the sound's at most: the address is the same in every playlist.
        assert len(set(keys)) == 1
        assert len(keys) <= 2
        # The same page with a token that was never given: no playlist, and no key.
        forged = keys[0].replace("/hls/k1.", "/hls/k9.")
        assert await page.evaluate("(url) => fetch(url).then((r) => r.status)", forged) == 401
        got = await page.evaluate(
            "(url) => fetch(url).then((r) => r.arrayBuffer()).then((b) => [...new Uint8Array(b)])", keys[0]
        )
        assert bytes(got) == key


@pytest.mark.needs("chromium", "node")
@pytest.mark.parametrize("player", ["hlsjs", "shaka"])
async def test_an_encrypted_title_plays_on_somebody_elses_page(
    house: House, generation: Generation, elsewhere: str, tmp_path: Path, player: str
) -> None:
    """From another origin and after a seek, with the one key that every playlist names."""
    await encrypted(house, generation, tmp_path)
    keys: list[tuple[str, int]] = []
    async with chromium() as browser:
        page, heard = await open_page(browser, elsewhere)
        page.on("response", lambda answer: keys.append((answer.url, answer.status)) if ".key" in answer.url else None)
        await page.evaluate("([player, url]) => start(player, url)", [player, await manifest_url(house)])

        async def moves() -> bool:
            return float((await state(page))["at"]) > 0.5

        await until(moves, PATIENCE_S, "the picture to move")
        await page.evaluate("(to) => { video.currentTime = to; }", SECONDS - 1.5)

        async def has_ended() -> bool:
            return bool((await state(page))["ended"])

        await until(has_ended, PATIENCE_S, "the end")
        found = await state(page)
    assert (found["width"], found["corrupted"], heard) == (320, 0, [])
    assert found["duration"] == pytest.approx(SECONDS, abs=0.2)
    assert len({url for url, _ in keys}) == 1
    assert {status for _, status in keys} == {200}


async def encrypted(house: House, generation: Generation, work: Path) -> bytes:
    """The generation, encrypted and published as an attempt does it; its key."""
    key = new_key()
    copy = replace(generation, folder=Path(shutil.copytree(generation.folder, work / "copy")))
    made = await check_generation(ffmpeg(), copy, SECONDS, key)
    await put(house, made.folder)
    stored = seal_key(RING, key, f"hls/{house.cast.free_film}/1-1")
    await house.cast.change(
        "INSERT INTO generation_keys (generation_id, sealed, ring_key_id) SELECT id, $2, $3 FROM generations WHERE content_id = $1",
        house.cast.free_film, stored.sealed, stored.ring_key_id,
    )  # fmt: skip
    return key


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["clear", "encrypted"])
async def test_ffmpeg_decodes_every_codec_over_the_net(
    house: House, generation: Generation, tmp_path: Path, *, is_encrypted: bool
) -> None:
    if is_encrypted:
        await encrypted(house, generation, tmp_path)
    else:
        await put(house, generation.folder)
    code, out, err = await run(
        *(ffmpeg(), "-nostdin", "-v", "warning", "-xerror", "-i", await manifest_url(house)),
        *("-map", "0:v", "-map", "0:a", "-f", "null", "-progress", "pipe:1", "-"),
    )
    assert (code, err) == (0, "")
    assert int(re.findall(r"^out_time_us=(\d+)$", out, re.M)[-1]) / 1e6 == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.needs("gstreamer")
@pytest.mark.parametrize("name", ["180p", "180p-hevc", "180p-av1"])
async def test_gstreamer_plays_each_codec(house: House, generation: Generation, tmp_path: Path, name: str) -> None:
    await put(house, generation.folder)
    url = (await manifest_url(house)).replace("master.m3u8", f"video/{name}/playlist.m3u8")
    # It gives up after three answers that were late, and the edge shares the machine with the rest of the suite.
    for _ in range(3):
        code, out, err = await run(
            "gst-launch-1.0", "-e", "playbin3", f"uri={url}", "video-sink=fakevideosink sync=false",
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "GST_DEBUG_NO_COLOR": "1"},
        )  # fmt: skip
        if "Couldn't download fragments" not in err:
            break
    assert code == 0, err[-2000:]
    assert "Got EOS from element" in out
    assert "ERROR" not in err + out
