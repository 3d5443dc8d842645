"""What an encoder writes is decoded while it is written: the whole of it, by programs that give way and leave nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.errors import Refusal
from tests import waiting
from tests.transcoder.programs import processes_over, programs_over
from tests.transcoder.sources import FAST, ffmpeg, film, make, picture
from transcoder.boxes import Mp4Error
from transcoder.encoder import Transient
from transcoder.progress import Progress
from transcoder.samples import Decoded, read_record
from transcoder.tail import Tail
from transcoder.witness import NICENESS, encode_witnessed

NICEST = 19


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def quiet(progress: Progress) -> None:
    """Nobody asks how far it is."""


# ------------------------------------------------------------------------------------------------------- a growing file


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.lists(st.integers(0, 300), max_size=8))
def test_a_file_is_read_box_by_box_however_it_grows(bodies: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(box(b"mdat", body) for body in bodies)
    with tempfile.TemporaryDirectory() as folder:
        tail, found = Tail(Path(folder) / "growing.mp4"), list[bytes]()
        assert tail.next() is None
        for size in [*sorted(min(size, len(whole)) for size in sizes), len(whole)]:
            tail.path.write_bytes(whole[:size])
            while (read := tail.next()) is not None:
                found.append(read[1])
            assert b"".join(found) == whole[: tail.at]
        tail.expect_end()
    assert found == [box(b"mdat", body) for body in bodies]


def test_a_box_whose_size_is_not_written_yet_is_left_for_later(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "growing.mp4")
    tail.path.write_bytes(bytes(4) + b"mdat" + bytes(8))
    assert tail.next() is None
    tail.path.write_bytes(box(b"mdat", bytes(8)))
    assert tail.next() == (b"mdat", box(b"mdat", bytes(8)))


@pytest.mark.parametrize("data", [b"", box(b"mdat", b"x")[:-1], box(b"mdat", b"x") + b"\0"])
def test_what_is_left_over_at_the_end_is_no_film(data: bytes, tmp_path: Path) -> None:
    tail = Tail(tmp_path / "growing.mp4")
    tail.path.write_bytes(data)
    while tail.next() is not None:
        pass
    with pytest.raises(Mp4Error):
        tail.expect_end()


def test_a_box_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "growing.mp4")
    with tail.path.open("wb") as file:
        file.write(struct.pack(">I4s", 1 << 30, b"mdat"))
        file.truncate(1 << 30)
    with pytest.raises(Mp4Error):
        tail.next()


# ------------------------------------------------------------------------------------------------------ beside an encoder


def copying(path: Path, target: Path, *, pace: float | None = None) -> list[str]:
    """An encoder that takes the packets of `path` as they are, at `pace` times their own speed."""
    paced = () if pace is None else ("-readrate", str(pace))
    return [
        str(ffmpeg()), "-nostdin", "-v", "error", *paced, "-i", str(path), "-map", "0:v", "-c", "copy", "-movflags",
        "+cmaf+frag_keyframe", "-flush_packets", "1", "-f", "mp4", "-progress", "pipe:1", "-y", str(target),
    ]  # fmt: skip


async def witnessed(path: Path, raw: Path, *, pace: float | None = None) -> dict[str, Decoded]:
    """Copies the picture of `path` into `raw` and has it decoded."""
    target = raw / "video-180p.mp4"
    argv = copying(path, target, pace=pace)
    return await encode_witnessed(ffmpeg(), argv, 20, quiet, reads=[path], writes=raw, files=[target], is_video=True)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where the encoder writes."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


async def test_every_sample_is_decoded_and_the_record_says_so(desk: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 5)
    found = await witnessed(path, desk)
    one = found["video-180p.mp4"]
    assert one.samples == 125
    assert one.sha256 == hashlib.sha256((desk / "video-180p.mp4").read_bytes()).hexdigest()
    assert read_record(desk) == found


async def test_the_same_samples_in_other_fragments_have_the_same_digest(desk: Path, tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", *picture(seconds=6), *FAST, "-g", "25")
    first = await witnessed(path, desk)
    target = desk / "again.mp4"
    argv = [part.replace("+frag_keyframe", "") for part in copying(path, target)]
    argv[-1:-1] = ["-frag_duration", "3000000"]
    second = await encode_witnessed(ffmpeg(), argv, 6, quiet, reads=[path], writes=desk, files=[target], is_video=True)
    one, other = first["video-180p.mp4"], second["again.mp4"]
    assert one.sha256 != other.sha256
    assert (one.samples, one.samples_sha256) == (other.samples, other.samples_sha256)


async def test_what_cannot_be_decoded_is_refused_by_its_rule_and_rendition(desk: Path, tmp_path: Path) -> None:
    """The structure is whole, the coded picture is not: only a decoder sees it."""
    path = film(tmp_path / "film.mp4", 5)
    data = bytearray(path.read_bytes())
    at = data.find(b"mdat") + len(data) // 8
    data[at : at + 400] = bytes(range(200, 256)) * 7 + b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(Refusal) as refused:
        await witnessed(path, desk)
    assert refused.value.code is errors.VERIFY_FAILED
    assert "Rule decode of video-180p: its decoder complains." in str(refused.value)
    assert "[error]" in str(refused.value.details)
    assert read_record(desk) == {}
    assert programs_over(tmp_path) == []


async def test_an_encoder_that_fails_ends_its_decoders(desk: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no film")
    with pytest.raises(Refusal) as refused:
        await witnessed(path, desk)
    assert refused.value.code is errors.ENCODE_FAILED
    assert programs_over(tmp_path) == []


async def test_a_file_that_the_encoder_never_made_is_refused(desk: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 1)
    argv = copying(path, desk / "elsewhere.mp4")
    with pytest.raises(Refusal) as refused:
        await encode_witnessed(
            ffmpeg(), argv, 1, quiet, reads=[path], writes=desk, files=[desk / "video-180p.mp4"], is_video=True
        )
    assert refused.value.code is errors.VERIFY_FAILED


def decoders(folder: Path) -> list[psutil.Process]:
    """Those at work, or what shuts them in."""
    return [process for process in processes_over(folder) if "pipe:0" in process.info["cmdline"]]


async def begun(desk: Path, tmp_path: Path) -> asyncio.Task[dict[str, Decoded]]:
    """An encoder that has a minute's work before it, with its decoder."""
    path = make(tmp_path / "film.mp4", *picture(seconds=30), *FAST, "-g", "25")
    work = asyncio.create_task(witnessed(path, desk, pace=0.5))
    await waiting.until(lambda: decoders(tmp_path), 60, "the decoder")
    return work


async def test_a_decoder_gives_way_and_goes_with_its_encoder(desk: Path, tmp_path: Path) -> None:
    work = await begun(desk, tmp_path)
    niceness = min(NICEST, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    await waiting.until(
        lambda: {process.nice() for process in decoders(tmp_path)} == {niceness}, 60, "them to give way"
    )
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert programs_over(tmp_path) == []


async def test_a_decoder_that_is_stopped_from_outside_is_tried_again(desk: Path, tmp_path: Path) -> None:
    work = await begun(desk, tmp_path)
    for process in decoders(tmp_path):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    with pytest.raises(Transient):
        await work
    assert programs_over(tmp_path) == []
