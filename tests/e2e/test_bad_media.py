"""Files that are no films: the job fails in seconds, in words, and nothing of it stays."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.clips import ffmpeg, make_clip
from tests.demo import ADA, Demo
from tests.running import run_penstock
from tests.waiting import until
from tests.web import Person, signed_in

pytestmark = [pytest.mark.timeout(1200)]

FAILS_WITHIN_S = 60
UPLOAD = "/storage/v1/upload/resumable"


@pytest.fixture
async def ada(demo: Demo) -> AsyncIterator[Person]:
    """Staff."""
    async with signed_in(demo, ADA) as person:
        yield person


async def upload(person: Person, path: Path, title: str) -> str:
    """Sends a file by tus; the file's id."""
    body = await asyncio.to_thread(path.read_bytes)
    words = {"filename": path.name, "title": title, "content_type": "MOVIE"}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in words.items())
    tus = {**person.headers, "Tus-Resumable": "1.0.0"}
    begin = {**tus, "Upload-Length": str(len(body)), "Upload-Metadata": metadata}
    answer = await person.get(UPLOAD, method="POST", headers=begin)
    assert answer.status == 201, answer.body
    location = answer.headers["location"].removeprefix(person.url)
    send = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = await person.get(location, method="PATCH", headers=send, data=body)
    assert answer.status == 204, answer.body
    return location.rstrip("/").rsplit("/", 1)[1]


async def ended(person: Person, file_id: str, within_s: float = FAILS_WITHIN_S) -> dict[str, Any]:
    """The job of a file once it has ended."""

    async def over() -> dict[str, Any] | None:
        path = f"/rest/v1/transcode_jobs?file_id=eq.{file_id}&select=id,content_id,state,error_code,error_message"
        status, rows = await person.call("GET", path)
        assert status == 200, rows
        done = [row for row in rows if row["state"] in ("succeeded", "failed", "cancelled")]
        return done[0] if done else None

    return dict(await until(over, within_s, "the job to end") or {})


async def make(kind: str, folder: Path) -> Path:
    """A file that is bad in one way."""
    path = folder / f"{kind}.mp4"
    match kind:
        case "prose":
            path.write_text("It was a dark and stormy night.\n" * 500)
        case "noise":
            path.write_bytes(bytes((7 * n * n + 13 * n) % 256 for n in range(200_000)))
        case "truncated":
            whole = await make_clip(folder / "whole.mp4", seconds=4)
            path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        case "playlist":
            path.write_text(
                "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
            )
        case "concat":
            path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
        case "page":
            path.write_text('<!doctype html><html><body><video src="http://127.0.0.1/"></video></body></html>\n' * 20)
        case "picture":
            await ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", folder / "still.png")
            (folder / "still.png").rename(path)
        case "words-only":
            (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n")
            await ffmpeg("-i", folder / "words.srt", "-c:s", "mov_text", path)
        case "zeros":
            path.write_bytes(bytes(100_000))
        case "head-only":
            whole = await make_clip(folder / "whole.mp4", seconds=2)
            path.write_bytes(whole.read_bytes()[:48])
    return path


def leftovers(demo: Demo, file_id: str, content_id: str, job_id: str) -> list[str]:
    """Whatever the installation's folder still holds of a job, apart from the upload itself."""
    scratch = [str(path) for path in (demo.data / "scratch").rglob("*") if path.is_file()]
    media = [str(path) for path in (demo.data / "store" / "hls" / content_id).rglob("*") if path.is_file()]
    return [path for path in [*scratch, *media] if job_id]


@pytest.mark.parametrize(
    "kind", ["prose", "noise", "truncated", "playlist", "concat", "page", "picture", "words-only", "zeros", "head-only"]
)
async def test_a_bad_file_fails_in_words_and_leaves_nothing(ada: Person, demo: Demo, tmp_path: Path, kind: str) -> None:
    file_id = await upload(ada, await make(kind, tmp_path), f"Bad: {kind}")
    job = await ended(ada, file_id)
    assert job["state"] == "failed", job
    assert job["error_code"] in ("PS601", "PS603", "PS604", "PS605"), job
    words = job["error_message"]
    assert len(words) > 15
    assert not any(leak in words for leak in ("Traceback", "Errno", str(demo.data), "0x", "av.error")), words
    assert leftovers(demo, file_id, job["content_id"], job["id"]) == []
    status, rows = await ada.call(
        "GET", f"/rest/v1/contents?id=eq.{job['content_id']}&select=is_published,generation_id"
    )
    assert (status, rows) == (200, []) or not rows[0]["is_published"], rows
    status, refusal = await ada.call("POST", f"/play/{job['content_id']}", json={})
    assert status in (403, 404, 409), refusal
    status, rows = await ada.call(
        "GET", f"/rest/v1/generations?content_id=eq.{job['content_id']}&state=eq.published&select=id"
    )
    assert (status, rows) == (200, [])


@pytest.mark.parametrize(
    ("kind", "code"), [("truncated", "PS603"), ("playlist", "PS604"), ("words-only", "PS605"), ("prose", "PS60")]
)
async def test_the_reason_is_the_right_one(ada: Person, tmp_path: Path, kind: str, code: str) -> None:
    job = await ended(ada, await upload(ada, await make(kind, tmp_path), f"Reason: {kind}"))
    assert job["error_code"].startswith(code), job


async def test_an_empty_file_is_refused(ada: Person, demo: Demo, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    done = run_penstock("publish", empty, "--title", "Nothing", "--data", demo.data)
    assert done.returncode == 1, done.stderr
    assert "empty" in done.stderr
    assert "Traceback" not in done.stderr


async def test_publish_says_why_it_failed(demo: Demo, tmp_path: Path) -> None:
    prose = await make("prose", tmp_path)
    done = run_penstock("publish", prose, "--title", "Prose", "--data", demo.data)
    assert done.returncode == 1, done.stderr
    assert "PS60" in done.stderr
    assert "Traceback" not in done.stderr


async def test_publish_beside_a_running_demo_makes_a_title(ada: Person, demo: Demo, tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "clip.mkv", seconds=2)
    done = run_penstock("publish", clip, "--title", "Published beside", "--free", "--data", demo.data)
    assert done.returncode == 0, done.stderr
    status, rows = await ada.call("GET", "/rest/v1/contents?title=eq.Published%20beside&select=id,is_free,is_published")
    assert (status, len(rows), rows[0]["is_free"], rows[0]["is_published"]) == (200, 1, True, True)
    grant = await ada.play(rows[0]["id"])
    assert grant["duration_s"] == pytest.approx(2, abs=0.1)


async def test_what_cannot_be_published_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = run_penstock("publish", tmp_path / "absent.mp4", "--title", "X", "--data", tmp_path / "d")
    assert done.returncode == 2
    assert "finds no file" in done.stderr
    assert not (tmp_path / "d").exists()
    clip = await make_clip(tmp_path / "clip.mp4", seconds=1)
    done = run_penstock("publish", clip, "--title", "X", "--type", "POEM", "--data", tmp_path / "d")
    assert done.returncode == 2
    assert "POEM" in done.stderr or "content_type" in done.stderr or "type" in done.stderr
