"""Players of other people play every title from its beginning to its end: ffmpeg, GStreamer, mpv."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from edge.local.ffmpeg import ffmpeg_path
from edge.settings import read_settings
from tests.demo import ADA, CAPTIONED, Demo
from tests.web import signed_in

pytestmark = [pytest.mark.timeout(1200)]

TITLES = (0, 1, 2, 3, 4, 5)
PLAY_S = 170


async def manifest_of(demo: Demo, content_id: str) -> str:
    """The whole URL of a fresh grant's master playlist."""
    async with signed_in(demo, ADA) as ada:
        grant = await ada.play(content_id)
    return f"{demo.url}{grant['manifest_url']}"


async def run(*argv: str | Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr. Kills what takes too long."""
    process = await asyncio.create_subprocess_exec(
        *(str(part) for part in argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        async with asyncio.timeout(PLAY_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(
            f"{argv[0]} did not end within {PLAY_S} s:\n{err[-2000:].decode(errors='replace')}"
        ) from None
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


@pytest.mark.parametrize("number", TITLES)
async def test_ffmpeg_decodes_every_rendition_without_a_word(demo: Demo, number: int) -> None:
    """Every variant, every sound, every subtitle of the master playlist, to the last packet."""
    title = demo.titles[number]
    url = await manifest_of(demo, title["id"])
    # ffmpeg refuses sub-resources by extension unless told; ours are named as they are.
    code, out, err = await run(
        *(ffmpeg_path(read_settings({})), "-nostdin", "-v", "warning", "-xerror", "-i", url),
        *("-map", "0:v?", "-map", "0:a?", "-f", "null", "-progress", "pipe:1", "-"),
    )
    assert (code, err) == (0, "")
    played_us = [int(value) for value in re.findall(r"^out_time_us=(\d+)$", out, re.M)][-1]
    assert played_us / 1e6 == pytest.approx(title["duration_s"], abs=0.1)


async def test_ffmpeg_reads_the_subtitles(demo: Demo, tmp_path: Path) -> None:
    """Each language by its own playlist: read through the master, ffmpeg loses the first cue of any stream it did not open first."""
    master = await manifest_of(demo, demo.id_of(CAPTIONED))
    for language in ("en", "de"):
        url = f"{master.removesuffix('master.m3u8')}subtitles/{language}/playlist.m3u8"
        target = tmp_path / f"{language}.srt"
        code, _, err = await run(ffmpeg_path(read_settings({})), "-nostdin", "-v", "warning", "-i", url, target)
        assert (code, err) == (0, "")
        assert target.read_text().count("-->") == 5


@pytest.mark.needs("gstreamer")
@pytest.mark.parametrize("number", [2, 5])
async def test_gstreamer_plays_to_the_end(demo: Demo, number: int, tmp_path: Path) -> None:
    url = await manifest_of(demo, demo.titles[number]["id"])
    code, out, err = await run(
        "gst-launch-1.0", "-e", "playbin3", f"uri={url}", "video-sink=fakevideosink sync=false", "audio-sink=fakeaudiosink sync=false",
        env={"XDG_CACHE_HOME": str(tmp_path), "GST_DEBUG_NO_COLOR": "1"},
    )  # fmt: skip
    assert code == 0, err[-2000:]
    assert "Got EOS from element" in out
    assert "ERROR" not in err + out


@pytest.mark.parametrize("name", ["master.m3u8", "manifest.mpd"])
async def test_ffmpeg_starts_in_the_middle_without_a_word(demo: Demo, name: str) -> None:
    title = demo.titles[2]
    url = (await manifest_of(demo, title["id"])).replace("master.m3u8", name)
    skipped_s = title["duration_s"] / 2
    code, out, err = await run(
        *(ffmpeg_path(read_settings({})), "-nostdin", "-v", "warning", "-xerror", "-ss", str(skipped_s), "-i", url),
        *("-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-progress", "pipe:1", "-"),
    )
    # After a seek in HLS it reads the init segment once more, which is what older ones failed to do, and says so.
    said = [line for line in err.splitlines() if not line.endswith("Found duplicated MOOV Atom. Skipped it")]
    assert (code, said) == (0, [])
    played_us = [int(value) for value in re.findall(r"^out_time_us=(\d+)$", out, re.M)][-1]
    assert played_us / 1e6 == pytest.approx(title["duration_s"] - skipped_s, abs=0.2)


async def mpv(url: str, folder: Path, *options: str) -> str:
    """The log of mpv's playing `url` to its end. Fails when it does not.

    The end is read from stdout: the thread that writes mpv's log file stops at exit without
    writing what is still in its buffer, so on a busy machine the last lines of the log are lost.
    """
    code, out, err = await run(
        *(
            "mpv",
            "--no-config",
            "--vo=null",
            "--ao=pcm",
            "--ao-pcm-file=/dev/null",
            "--untimed",
            "--input-terminal=no",
            "--term-status-msg=",
            f"--log-file={folder / 'log'}",
            *options,
            url,
        ),
        env={"HOME": str(folder)},
    )
    log = (folder / "log").read_text(errors="replace")
    assert code == 0, log[-2000:] + err + out
    assert "Exiting... (End of file)" in out, out + err
    return log


@pytest.mark.needs("mpv")
@pytest.mark.parametrize("number", [2, 5])
async def test_mpv_plays_to_the_end(demo: Demo, number: int, tmp_path: Path) -> None:
    await mpv(await manifest_of(demo, demo.titles[number]["id"]), tmp_path)


@pytest.mark.needs("mpv")
async def test_mpv_starts_in_the_middle(demo: Demo, tmp_path: Path) -> None:
    """Of the DASH manifest: the FFmpeg 5.1 below Debian's mpv loses the picture after a seek in any fMP4 HLS (mpv-player/mpv#13211)."""
    title = demo.titles[2]
    url = (await manifest_of(demo, title["id"])).replace("master.m3u8", "manifest.mpd")
    log = await mpv(url, tmp_path, f"--start={title['duration_s'] / 2}")
    found = re.search(r"playback restart complete @ ([\d.]+), audio=playing, video=playing", log)
    assert found is not None, log[-2000:]
    assert float(found[1]) == pytest.approx(title["duration_s"] / 2, abs=0.5)
    assert "[e][" not in log
