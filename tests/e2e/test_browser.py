"""What a person sees in a browser: the shelf, playing, seeking, subtitles, refusals, going on elsewhere, publishing."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from core.settings import ROOT
from tests.clips import ffmpeg, make_clip
from tests.demo import ADA, CAPTIONED, DAWN, HEIGHTS, MUSIC, OTTO, SEAHORSE, TEST_CARD, VERA, Demo
from tests.e2e.browser import Visitor, browser, running_browser, visitor
from tests.inside import inside
from tests.waiting import until
from tests.web import guest, signed_in

__all__ = ["browser", "running_browser"]

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(1200),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(browser: Browser, demo: Demo) -> AsyncIterator[Visitor]:
    """A guest at a new device."""
    async with visitor(browser, demo) as person:
        yield person


async def picture_of(person: Visitor, name: str) -> None:
    """Writes docs/images/<name>.png when PENSTOCK_SCREENSHOTS asks for it."""
    if os.environ.get("PENSTOCK_SCREENSHOTS") != "1":
        return
    target = ROOT / "docs" / "images" / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    shot = target.with_suffix(".shot.png")
    await person.page.emulate_media(color_scheme="dark")
    await person.page.screenshot(path=shot, animations="disabled")
    # 256 colours: a third of the size, and no eye sees it.
    await ffmpeg(
        "-i",
        shot,
        "-filter_complex",
        "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=bayer:bayer_scale=4",
        target,
    )
    shot.unlink()
    assert target.stat().st_size < 400_000, f"{target.name} is too large for a README"


async def job_for_the_readme(person: Visitor) -> None:
    """The page of a job of the demo's own, when its picture is asked for."""
    if os.environ.get("PENSTOCK_SCREENSHOTS") != "1":
        return
    await person.page.goto(f"{person.demo.url}/studio/jobs")
    await person.page.get_by_test_id("job-row").filter(has_text=TEST_CARD).get_by_test_id("job-link").click()
    await expect(person.page.get_by_test_id("job-renditions")).to_be_visible()
    await until(
        lambda: person.page.evaluate("Array.from(document.images).every((i) => i.complete)"), 10, "the pictures"
    )
    await picture_of(person, "job")


async def levels_of(person: Visitor) -> int:
    """How many qualities the player knows."""
    return int(await person.page.evaluate("window.penstock?.hls?.levels.length ?? 0"))


async def test_the_shelf_shows_every_title(somebody: Visitor, demo: Demo) -> None:
    page = somebody.page
    await page.goto(demo.url)
    for title in (TEST_CARD, SEAHORSE, CAPTIONED, MUSIC):
        await expect(
            page.locator(f'[data-testid="shelf-card"][data-content-id="{demo.id_of(title)}"]').first
        ).to_be_visible()
    await expect(page.get_by_test_id("series-card").first).to_be_visible()
    # A picture that did not come would be an empty frame, not an error of the page.
    broken = "Array.from(document.images).filter((i) => i.complete && i.naturalWidth === 0).length"
    assert await page.evaluate(broken) == 0


async def test_a_title_without_media_stands_nowhere_to_be_pressed(somebody: Visitor, demo: Demo) -> None:
    """As the seeded ones of `demo` and `seed`: announced and shown to whoever asks for it, but nothing to play yet."""
    announced = str(uuid4())
    async with inside(demo) as tx:
        await tx.connection.execute(
            """INSERT INTO contents (id, title, content_type, is_free, is_published, published_at)
               VALUES ($1, 'Sine Dust', 'MOVIE', true, true, now())""",
            announced,
        )
    try:
        await somebody.page.goto(demo.url)
        card = somebody.page.get_by_test_id("shelf-card")
        await expect(
            card.and_(somebody.page.locator(f'[data-content-id="{demo.id_of(TEST_CARD)}"]')).first
        ).to_be_visible()
        await expect(card.and_(somebody.page.locator(f'[data-content-id="{announced}"]'))).to_have_count(0)
        await somebody.page.goto(f"{demo.url}/?q=Dust")
        await expect(somebody.page.get_by_text("Nothing found for").first).to_be_visible()
        async with guest(demo) as nobody:
            status, rows = await nobody.call("GET", f"/rest/v1/contents?select=title&id=eq.{announced}")
            assert (status, rows) == (200, [{"title": "Sine Dust"}])
    finally:
        async with inside(demo) as tx:
            await tx.connection.execute("DELETE FROM contents WHERE id = $1", announced)


async def test_a_guest_plays_a_free_film(somebody: Visitor, demo: Demo) -> None:
    await somebody.page.goto(demo.url)
    await somebody.page.locator(f'[data-testid="shelf-card"][data-content-id="{demo.id_of(TEST_CARD)}"]').first.click()
    await somebody.page.wait_for_url(re.compile("/watch/"))
    await somebody.plays_on(2)
    assert await levels_of(somebody) == len(HEIGHTS)
    await expect(somebody.page.get_by_test_id("quality")).to_have_text(
        re.compile(rf"^({'|'.join(map(str, HEIGHTS))})p$")
    )
    await expect(somebody.page.get_by_test_id("buffer")).to_have_text(re.compile(r"^buffer \d+ s$"))
    assert await somebody.video("video.buffered.length") == 1
    assert await somebody.video("video.duration") == pytest.approx(60, abs=0.1)
    assert await somebody.video("video.videoHeight") in HEIGHTS


async def test_a_pages_heartbeats_are_taken_by_heart(somebody: Visitor, demo: Demo) -> None:
    """What Chromium really sends is what the fast lane knows: header block, token in the body too, head and body apart."""
    counted = re.compile(r'^penstock_lane_answers_total\{kind="progress"\} ([0-9.e+]+)$', re.M)

    async def taken() -> float:
        async with guest(demo) as nobody:
            metrics = (await nobody.get("/metrics", headers={"Accept-Encoding": "identity"})).body.decode()
        found = counted.search(metrics)
        return float(found[1]) if found else 0.0

    before = await taken()
    await somebody.watch(TEST_CARD)
    await somebody.plays_on()

    async def several() -> bool:
        # Each is a heartbeat; a process learns a page's head from its first.
        await somebody.video("video.paused ? video.play() : video.pause()")
        return await taken() >= before + 3

    await until(several, 60, "heartbeats to be taken by heart")


async def test_seeking_lands_where_it_was_asked(somebody: Visitor, demo: Demo) -> None:
    await somebody.watch(TEST_CARD)
    await somebody.plays_on(1)
    for target_s in (41.5, 7.25, 55.0, 23.0):
        await somebody.video(f"video.currentTime = {target_s}")
        at_s = await somebody.plays_on(0.5)
        assert target_s <= at_s < target_s + 8


async def test_choosing_a_quality_changes_the_picture(somebody: Visitor, demo: Demo) -> None:
    await somebody.watch(TEST_CARD)
    await somebody.plays_on(1)
    for height in HEIGHTS:
        await somebody.page.get_by_test_id("quality-menu").click()
        await somebody.page.get_by_role("menuitemradio", name=re.compile(f"^{height}p")).click()
        await somebody.video("video.currentTime = video.currentTime < 30 ? 40 : 5")

        async def changed(wanted: int = height) -> bool:
            return bool(await somebody.video("video.videoHeight") == wanted)

        await until(changed, 60, f"{height} lines")
    await somebody.plays_on(1)


async def test_music_plays_without_a_picture(somebody: Visitor, demo: Demo) -> None:
    await somebody.watch(MUSIC)
    await somebody.plays_on(1.5)
    assert await somebody.video("video.videoHeight") == 0
    await expect(somebody.page.get_by_role("heading", name=MUSIC).first).to_be_attached()


async def test_a_title_that_was_not_bought_is_refused_in_words(somebody: Visitor, demo: Demo) -> None:
    somebody.expected.append(re.compile(r"Failed to load resource.*40[13].*/play/"))
    await somebody.watch(SEAHORSE)
    refused = somebody.page.get_by_test_id("refused")
    await expect(refused).to_contain_text("Sign in to watch this")
    await somebody.sign_in(OTTO)
    await somebody.watch(CAPTIONED)
    await expect(refused).to_contain_text("not in your library")
    assert await refused.get_attribute("data-reason") == "not_entitled"
    text = await refused.inner_text()
    assert not re.search(r"PS\d{3}|undefined|null|\{", text), text


async def test_a_wrong_password_is_said_in_words(somebody: Visitor, demo: Demo) -> None:
    somebody.expected.append(re.compile(r"Failed to load resource.*400.*/auth/v1/token"))
    page = somebody.page
    await page.goto(f"{demo.url}/sign-in")
    await page.get_by_test_id("sign-in-email").fill(VERA)
    await page.get_by_test_id("sign-in-password").fill("not the password")
    await page.get_by_test_id("sign-in-submit").click()
    await expect(page.get_by_test_id("sign-in-problem")).to_contain_text("not right")


async def test_subtitles_can_be_chosen(somebody: Visitor, demo: Demo) -> None:
    await somebody.sign_in(VERA)
    await somebody.watch(CAPTIONED)
    await somebody.plays_on(0.5)
    await somebody.page.get_by_test_id("tracks-menu").click()
    names = await somebody.page.get_by_role("menuitemradio").all_inner_texts()
    assert {"Deutsch", "English"} <= {name.strip() for name in names}
    await somebody.page.get_by_role("menuitemradio", name="Deutsch").click()
    await somebody.video("video.currentTime = 2")

    async def shown() -> str:
        return str(
            await somebody.video(
                "[...video.textTracks].filter((t) => t.mode === 'showing').flatMap((t) => [...(t.activeCues ?? [])]).map((c) => c.text).join()"
            )
        )

    assert "Gleiter" in await until(shown, 60, "a subtitle")


async def test_the_player_works_without_a_mouse(somebody: Visitor, demo: Demo) -> None:
    page = somebody.page
    await page.goto(demo.url)
    await expect(page.get_by_test_id("shelf-card").first).to_be_visible()
    reached = "document.activeElement?.dataset?.testid === 'shelf-card' || !!document.activeElement?.closest?.('[data-testid=\"shelf-card\"]')"
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate(reached):
            break
    assert await page.evaluate(reached), "Tab reaches no title"
    await somebody.watch(TEST_CARD)
    await somebody.plays_on(1)
    await page.keyboard.press("k")
    await until(lambda: somebody.video("video.paused"), 60)
    await page.keyboard.press("5")
    await until(lambda: somebody.video("Math.abs(video.currentTime - 30) < 0.5"), 60, "the middle")
    before = await somebody.position_s()
    await page.keyboard.press("l")
    await until(lambda: somebody.video(f"Math.abs(video.currentTime - {before + 10}) < 0.5"), 60, "ten seconds on")
    await page.keyboard.press("m")
    assert await somebody.video("video.muted") is True
    await page.keyboard.press(" ")
    await somebody.plays_on(0.5)


async def test_one_goes_on_at_another_device_where_one_stopped(browser: Browser, demo: Demo) -> None:
    """Closed in the middle, without pausing; the beat of the closing page must arrive."""
    async with visitor(browser, demo) as first:
        await first.sign_in(OTTO)
        await first.watch(SEAHORSE)
        await first.plays_on(1)
        await first.video("video.currentTime = 21")
        stopped_s = await first.plays_on(1.5)
        await first.page.close(run_before_unload=False)
    async with signed_in(demo, OTTO) as otto:

        async def kept() -> float:
            status, said = await otto.call("GET", f"/progress/{demo.id_of(SEAHORSE)}")
            return float(said["position_s"]) if status == 200 and said["position_s"] > 15 else 0.0

        assert await until(kept, 60, "the last beat") == pytest.approx(stopped_s, abs=5)
        _, rows = await otto.call("GET", "/me/continue-watching?limit=5")
        assert rows[0]["content_id"] == demo.id_of(SEAHORSE)
    async with visitor(browser, demo) as second:
        await second.sign_in(OTTO)
        await expect(second.page.get_by_text("Continue watching", exact=False).first).to_be_visible()
        await second.watch(SEAHORSE)
        first_s = []

        async def begun() -> bool:
            at = await second.position_s()
            first_s.append(at)
            return at > 1

        await until(begun, 60, "playing again")
        assert first_s[-1] == pytest.approx(stopped_s, abs=5)
        await second.plays_on(0.5)


async def test_a_film_to_its_end_is_finished(somebody: Visitor, demo: Demo) -> None:
    await somebody.sign_in(VERA)
    await somebody.watch(DAWN)
    await somebody.plays_on(0.5)
    await somebody.video("video.currentTime = 17.5")
    await until(lambda: somebody.video("video.ended"), 60, "the end")
    async with signed_in(demo, VERA) as vera:

        async def finished() -> bool:
            status, said = await vera.call("GET", f"/progress/{demo.id_of(DAWN)}")
            return status == 200 and bool(said["is_completed"])

        await until(finished, 60, "the title to be finished")
        _, rows = await vera.call("GET", "/me/continue-watching?limit=50")
        assert demo.id_of(DAWN) not in [row["content_id"] for row in rows]


async def upload(person: Visitor, path: Path, title: str, encryption: str = "set") -> None:
    """Hands a file in at the studio, and opens the page of its job."""
    page = person.page
    await page.goto(f"{person.demo.url}/studio")
    await page.get_by_test_id("upload-input").set_input_files(path)
    await page.get_by_test_id("upload-title").fill(title)
    await page.get_by_test_id("upload-free").check()
    await page.get_by_test_id("encoding-choices").locator("summary").click()
    await page.get_by_test_id("upload-encryption").select_option(encryption)
    await page.get_by_test_id("upload-submit").click()
    await page.get_by_test_id("job-row").filter(has_text=title).get_by_test_id("job-link").first.click()
    await page.wait_for_url(re.compile("/studio/jobs/[0-9a-f-]{36}$"))
    await expect(page.get_by_role("heading", name=title)).to_be_visible()


async def fits_a_phone(person: Visitor) -> None:
    """Nothing of the page lies beside a narrow screen."""
    await person.page.set_viewport_size({"width": 360, "height": 740})
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await person.page.evaluate(wider) <= 0, person.page.url


async def test_staff_publish_an_encrypted_film_and_follow_it_until_it_plays(
    somebody: Visitor, demo: Demo, tmp_path: Path
) -> None:
    clip = await make_clip(tmp_path / "my holiday.mp4", seconds=4)
    page = somebody.page
    await somebody.sign_in(ADA)
    await job_for_the_readme(somebody)
    await upload(somebody, clip, "A film of mine", encryption="aes-128")
    state = page.get_by_test_id("job-state")
    await expect(state).to_have_attribute("data-value", "succeeded", timeout=90_000)
    await expect(page.get_by_test_id("job-progress")).to_have_attribute("data-value", "100")
    made = page.get_by_test_id("job-renditions")
    await expect(made.get_by_role("row").filter(has_text="180p")).to_contain_text("H.264")
    await expect(made.get_by_role("row").filter(has_text="AAC")).to_have_count(1)
    await fits_a_phone(somebody)
    await page.get_by_role("link", name="Watch").click()
    await somebody.plays_on(1)
    assert await somebody.video("video.duration") == pytest.approx(4, abs=0.1)
    keys = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/content.key')).length"
    assert await page.evaluate(keys) >= 1
    # What was chosen is chosen again, and shown: nobody encrypts a film without seeing it.
    await page.goto(f"{demo.url}/studio")
    await expect(page.get_by_test_id("upload-encryption")).to_have_value("aes-128")
    await expect(page.get_by_test_id("upload-encryption")).to_be_visible()


async def test_staff_give_a_playing_film_subtitles_and_take_them_away(
    somebody: Visitor, demo: Demo, tmp_path: Path
) -> None:
    """Nobody encodes it again, and whoever opens it then has them."""
    words = tmp_path / "seahorse.fr.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:20,000\nVoici la vallée\n")
    page = somebody.page
    await somebody.sign_in(ADA)
    await page.goto(f"{demo.url}/studio/jobs")
    await page.get_by_test_id("job-row").filter(has_text=SEAHORSE).last.get_by_test_id("job-link").click()
    desk = page.get_by_test_id("subtitles")
    await desk.get_by_test_id("subtitle-file").set_input_files(words)
    await expect(desk.get_by_test_id("subtitle-language")).to_have_value("fr")
    await desk.get_by_test_id("subtitle-label").fill("Français, relu")
    await desk.get_by_test_id("subtitle-add").click()
    track = desk.get_by_test_id("subtitle-track")
    await expect(track).to_contain_text("Français, relu")
    await expect(track.get_by_test_id("subtitle-state")).to_have_text("offered", timeout=60_000)
    await fits_a_phone(somebody)
    await somebody.watch(SEAHORSE)
    await somebody.plays_on(0.5)
    await page.get_by_test_id("tracks-menu").click()
    await expect(page.get_by_role("menuitemradio", name="Français, relu")).to_be_visible()

    await page.go_back()
    await desk.get_by_test_id("subtitle-remove").click()
    await desk.get_by_test_id("subtitle-remove-sure").click()
    await expect(track).to_have_count(0)

    playing = f"/rest/v1/contents?id=eq.{demo.id_of(SEAHORSE)}&select=g:generations!contents__generation_exists(renditions(kind))"
    async with signed_in(demo, ADA) as ada:

        async def gone() -> bool:
            _, rows = await ada.call("GET", playing)
            return all(one["kind"] != "subtitles" for one in rows[0]["g"]["renditions"])

        await until(gone, 60, "the film to be without subtitles again")
    somebody.expected.append(re.compile("422"))
    words.write_text("no words at all")
    await desk.get_by_test_id("subtitle-file").set_input_files(words)
    await desk.get_by_test_id("subtitle-add").click()
    await expect(desk.get_by_test_id("subtitle-problem")).to_contain_text("no subtitles that can be read")


async def test_a_file_that_is_no_film_fails_in_words(somebody: Visitor, demo: Demo, tmp_path: Path) -> None:
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear Sir or Madam,\n" * 200)
    page = somebody.page
    await somebody.sign_in(ADA)
    await upload(somebody, letter, "A letter")
    await expect(page.get_by_test_id("job-state")).to_have_attribute("data-value", "failed", timeout=60_000)
    words = await page.get_by_test_id("job-error").inner_text()
    assert len(words) > 10
    assert "Traceback" not in words
    failures = page.get_by_test_id("job-failures")
    await expect(failures).to_contain_text(re.compile(r"PS60\d"))
    assert str(demo.data) not in await failures.inner_text()
    await expect(page.get_by_test_id("job-retry")).to_be_enabled()
    await fits_a_phone(somebody)
    await page.goto(f"{demo.url}/studio/jobs?only=failed")
    await expect(page.get_by_test_id("job-row").filter(has_text="A letter").first).to_contain_text(words[:30])
    await fits_a_phone(somebody)


def is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-2:] == ["-m", "transcoder"]
    except psutil.NoSuchProcess:
        # An encoder that has ended meanwhile.
        return False


@contextmanager
def worker_held(demo: Demo) -> Iterator[None]:
    """No job begins meanwhile: the demo's one worker stands still."""
    assert demo.penstock.process is not None
    everyone = psutil.Process(demo.penstock.process.pid).children(recursive=True)
    # The oldest: what a worker has just forked still looks like it.
    worker = min(filter(is_worker, everyone), key=lambda child: child.create_time())
    worker.suspend()
    try:
        yield
    finally:
        worker.resume()


async def test_a_waiting_job_is_cancelled_and_begun_anew(somebody: Visitor, demo: Demo, tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "second thoughts.mp4", seconds=1)
    page = somebody.page
    state = page.get_by_test_id("job-state")
    await somebody.sign_in(ADA)
    with worker_held(demo):
        await upload(somebody, clip, "Second thoughts")
        await expect(state).to_have_attribute("data-value", "queued")
        await page.get_by_test_id("job-cancel").click()
        await page.get_by_test_id("job-cancel-sure").click()
        await expect(state).to_have_attribute("data-value", "cancelled")
        first = page.url
        await page.get_by_test_id("job-retry").click()
        await page.wait_for_url(lambda url: url != first)
        await expect(state).to_have_attribute("data-value", "queued")
    await expect(state).to_have_attribute("data-value", "succeeded", timeout=90_000)


async def test_a_viewer_has_no_studio(somebody: Visitor, demo: Demo) -> None:
    await somebody.sign_in(OTTO)
    await somebody.page.goto(f"{demo.url}/studio")
    await expect(somebody.page.get_by_text("The studio is for staff")).to_be_visible()


async def test_the_pages_fit_a_phone(browser: Browser, demo: Demo) -> None:
    async with visitor(browser, demo) as phone:
        await phone.page.set_viewport_size({"width": 360, "height": 740})
        for path in (
            "/",
            f"/watch/{demo.id_of(TEST_CARD)}",
            "/sign-in",
            "/studio",
            "/recover",
            "/new-password",
            "/account",
            "/invitations?token=x",
        ):
            await phone.page.goto(f"{demo.url}{path}")
            await expect(phone.page.locator("main")).to_be_visible()
            wider = await phone.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wider <= 0, path


async def test_pictures_for_the_readme(somebody: Visitor, demo: Demo) -> None:
    """The shelf and the player as they look; written only when asked for."""
    await somebody.sign_in(VERA)
    await expect(somebody.page.get_by_test_id("shelf-card").first).to_be_visible()
    await until(
        lambda: somebody.page.evaluate("Array.from(document.images).every((i) => i.complete)"), 10, "the pictures"
    )
    await picture_of(somebody, "shelf")
    await somebody.watch(SEAHORSE)
    await somebody.plays_on(0.5)
    await somebody.video("video.currentTime = 18")
    await somebody.plays_on(1)
    await somebody.page.mouse.move(640, 400)
    await picture_of(somebody, "watch")
