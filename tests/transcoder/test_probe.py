"""The probe: hostile and broken files are refused in seconds, each with its own code and a readable sentence."""

from __future__ import annotations

import random
import struct
import sys
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.errors import Code, Refusal
from tests.transcoder.sources import FAST, film, make, picture, sound
from transcoder import source
from transcoder.encoder import Transient
from transcoder.left_out import warnings_of
from transcoder.probe import probe
from transcoder.sniff import check_boxes, check_head, check_length
from transcoder.source import LeftOut


async def verdict(path: Path) -> Code:
    """The refusal's code, after checking that it says something."""
    with pytest.raises(Refusal) as refused:
        await probe(path)
    assert len(str(refused.value)) > 20
    return refused.value.code


async def opinion(path: Path) -> Code | None:
    """The refusal's code, or None when the file is taken."""
    try:
        await probe(path)
    except Refusal as refusal:
        return refusal.code
    return None


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    return write(path.with_name(f"cut-{path.name}"), data[: int(len(data) * share)])


DISGUISES = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "hls_bom": b"\xef\xbb\xbf#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1/\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "dash": b'<MPD type="static"><Period><BaseURL>http://127.0.0.1/</BaseURL></Period></MPD>',
    "html": b"<!DOCTYPE html><html></html>",
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
}


@pytest.mark.parametrize("name", sorted(DISGUISES))
async def test_a_document_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    assert await verdict(write(tmp_path / "film.mp4", DISGUISES[name])) is errors.PLAYLIST_IN_DISGUISE


async def test_an_empty_file_is_refused_as_empty(tmp_path: Path) -> None:
    assert await verdict(write(tmp_path / "film.mp4", b"")) is errors.EMPTY_FILE


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary, this is no film.\n" * 200,
        random.Random(1).randbytes(200_000),
        b"\0" * 100_000,
        b"\x1a\x45\xdf\xa3" + b"\xff" * 99,
    ],
    ids=["text", "noise", "zeros", "matroska_head_only"],
)
async def test_what_is_no_media_is_refused(data: bytes, tmp_path: Path) -> None:
    assert await verdict(write(tmp_path / "film.mp4", data)) is errors.NOT_MEDIA


async def test_a_still_picture_is_no_film(tmp_path: Path) -> None:
    still = make(tmp_path / "still.png", *picture(seconds=0.04), "-frames:v", "1")
    assert await verdict(still) is errors.NOT_MEDIA


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "wav", "flac"])
async def test_a_file_whose_end_is_missing_is_refused_as_cut_off(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{suffix}"
    match suffix:
        case "wav" | "flac":
            make(path, *sound(seconds=20))
        case "avi":
            make(path, *picture(seconds=4), "-c:v", "mpeg4")
        case _:
            make(path, *picture(seconds=4), *sound(seconds=4), *FAST, "-c:a", "aac")
    for share in (0.5, 0.9):
        assert await verdict(cut(path, share)) is errors.TRUNCATED_MEDIA


async def test_a_streamable_file_that_lost_its_end_is_refused_too(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", *picture(seconds=4), *FAST, "-movflags", "+faststart")
    assert await verdict(cut(path, 0.7)) is errors.TRUNCATED_MEDIA


async def test_neither_picture_nor_sound_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,500 --> 00:00:02,000\nOnly words\n")
    path = make(tmp_path / "words.mkv", "-i", str(text), "-c:s", "srt")
    assert await verdict(path) is errors.NO_STREAMS


async def test_a_picture_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "huge.mkv", *picture("8200x16", seconds=0.2), "-c:v", "ffv1")
    assert await verdict(path) is errors.MEDIA_TOO_LARGE


async def test_a_film_longer_than_a_day_is_refused(tmp_path: Path) -> None:
    path = make(
        tmp_path / "long.mkv",
        *picture("16x16", rate="1", seconds=3),
        "-vf",
        "setpts=N*50000/TB",
        "-fps_mode",
        "vfr",
        "-c:v",
        "mpeg4",
    )
    assert await verdict(path) is errors.MEDIA_TOO_LARGE


async def test_the_probe_reads_no_file_but_the_one_given(tmp_path: Path) -> None:
    """A QuickTime reference movie names another file: its track has nothing to decode here."""
    film(tmp_path / "other.mp4", seconds=1)
    data = bytearray((tmp_path / "other.mp4").read_bytes())
    url = data.find(b"url \0\0\0\x01")
    assert url > 0
    data[url + 4 : url + 8] = b"\0\0\0\0"  # "not in this file"
    assert await opinion(write(tmp_path / "reference.mp4", bytes(data))) in (
        None,
        errors.NOT_MEDIA,
        errors.TRUNCATED_MEDIA,
    )


async def test_what_a_film_holds_is_told(tmp_path: Path) -> None:
    path = make(
        tmp_path / "film.mkv", *picture("320x240", "30000/1001", 2), *sound(440, 2), *sound(880, 2), "-map", "0", "-map", "1", "-map", "2",
        *FAST, "-c:a", "aac", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
    )  # fmt: skip
    source = await probe(path)
    assert source.video is not None
    assert (source.video.width, source.video.height, source.video.frame_rate) == (320, 240, (30000, 1001))
    assert [track.language for track in source.audio] == ["eng", "deu"]
    assert abs(source.duration_s - 2) < 0.1


async def test_a_sound_that_begins_late_is_heard(tmp_path: Path) -> None:
    """Minutes of pictures come before it in the file; one that never comes is no sound."""
    pictures = make(tmp_path / "pictures.mp4", *picture("32x32", "60", 80), *FAST)
    late = ("-itsoffset", "75", *sound(seconds=2), *sound(seconds=1), "-map", "0", "-map", "1", "-map", "2")
    path = make(
        tmp_path / "late.mkv", "-i", str(pictures), *late, "-filter:a:1", "aselect=0", "-c:v", "copy", "-c:a", "aac"
    )
    source = await probe(path)
    assert [track.index for track in source.audio] == [1]


@given(st.binary(max_size=300), st.integers(0, 10**6))
def test_the_sniffers_never_fail_on_any_bytes(data: bytes, more: int) -> None:
    for look in (check_boxes, check_length):
        refusal = look(BytesIO(data), len(data) + more)
        assert refusal is None or refusal.code in (errors.TRUNCATED_MEDIA, errors.NOT_MEDIA)
    check_head(data, len(data))


def _box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", size, kind)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_box(b"ftyp", 8) + _box(b"mdat", 8), errors.TRUNCATED_MEDIA),
        (_box(b"ftyp", 8) + _box(b"mdat", 2**31), errors.TRUNCATED_MEDIA),
        (_box(b"ftyp", 8) + _box(b"moov", 4), errors.NOT_MEDIA),
        (_box(b"ftyp", 8) + struct.pack(">I4sQ", 1, b"mdat", 2**63), errors.TRUNCATED_MEDIA),
        (_box(b"ftyp", 8) + _box(b"moov", 8) + _box(b"mdat", 0), None),
    ],
    ids=["no_index", "data_beyond_the_end", "impossible_size", "huge_size", "open_ended"],
)
def test_the_outer_boxes_must_fit_the_file(data: bytes, code: Code | None) -> None:
    refusal = check_boxes(BytesIO(data), len(data))
    assert (refusal and refusal.code) == code


async def test_damaged_bytes_never_hang_or_crash_the_worker(tmp_path: Path) -> None:
    data = film(tmp_path / "film.mp4", seconds=1).read_bytes()
    chance = random.Random(7)
    for number in range(6):
        broken = bytearray(data)
        for _ in range(40):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        code = await opinion(write(tmp_path / f"broken-{number}.mp4", bytes(broken)))
        assert code is None or code.code.startswith("PS60")


async def test_a_machine_that_is_too_slow_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good film that comes to a busy worker is looked at again, not refused for ever."""
    path = film(tmp_path / "film.mp4", seconds=1)
    monkeypatch.setattr("transcoder.probe.PROBE_TIMEOUT_S", 0.0)
    with pytest.raises(Transient) as failed:
        await probe(path)
    assert failed.value.refusal.code is errors.PROBE_TIMEOUT


async def test_a_file_that_spends_the_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a real reader that spins for ever: its own limit ends it, and no other worker tries again."""
    monkeypatch.setattr("transcoder.probe.PROBE_CPU_S", 0.0)

    def spinning(*_: object, **__: object) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", "while True: pass"]

    monkeypatch.setattr("transcoder.probe.shut_in", spinning)
    assert await verdict(film(tmp_path / "film.mp4", seconds=1)) is errors.PROBE_TIMEOUT


async def test_a_track_that_a_title_does_without_is_told(tmp_path: Path) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,900\nWords\n")
    path = make(
        tmp_path / "film.mkv", *picture("128x72", seconds=1), *sound(440, 1), *sound(880, 1), "-i", str(words), "-map", "0", "-map", "1",
        "-map", "2", "-map", "3", "-map", "3", *FAST, "-c:a:0", "wavpack", "-c:a:1", "aac", "-c:s:0", "srt", "-c:s:1", "ssa",
        "-metadata:s:a:0", "language=ger", "-metadata:s:a:0", "title=Fassung", "-metadata:s:a:1", "language=eng",
    )  # fmt: skip
    found = await probe(path)
    assert [track.language for track in found.audio] == ["eng"]
    assert found.left_out == (LeftOut("audio", "wavpack", "codec", "ger", "Fassung"),)
    assert warnings_of(found) == (
        "A sound track (Deutsch, Fassung) was left out: its codec, wavpack, is not accepted.",
    )


async def test_tracks_beyond_what_a_title_may_have_are_told(tmp_path: Path) -> None:
    most = source.MAX_AUDIO_TRACKS
    sounds = [argument for n in range(most + 1) for argument in sound(200 + 100 * n, 1)]
    maps = [argument for n in range(most + 1) for argument in ("-map", str(n))]
    path = make(tmp_path / "sounds.mkv", *sounds, *maps, "-c:a", "aac")
    found = await probe(path)
    assert len(found.audio) == most
    assert [(track.kind, track.why) for track in found.left_out] == [("audio", "too_many")]
    assert warnings_of(found) == (f"A sound track was left out: a title has at most {most} of them.",)


async def test_a_second_picture_is_told(tmp_path: Path) -> None:
    """A film from two angles, or a recorder's small copy beside it."""
    path = make(
        tmp_path / "angles.mkv", *picture("128x72", seconds=1), *picture("64x36", seconds=1), "-map", "0", "-map", "1", *FAST,
        "-metadata:s:v:1", "title=From above",
    )  # fmt: skip
    found = await probe(path)
    assert found.video is not None
    assert found.video.width == 128
    assert found.left_out == (LeftOut("video", "h264", "too_many", None, "From above"),)
    assert warnings_of(found) == ("A picture track (From above) was left out: a title has at most one of them.",)


@pytest.mark.parametrize(
    ("turned", "is_plain"),
    [
        ((), True),
        (("-display_rotation", "0"), True),
        (("-display_rotation", "90"), False),
        (("-display_rotation", "180"), False),
        (("-display_hflip",), False),
        (("-display_vflip",), False),
    ],
)
async def test_only_an_upright_picture_is_shown_before_it_is_encoded(
    turned: tuple[str, ...], is_plain: bool, tmp_path: Path
) -> None:
    """A browser turns a picture as its file says, and mirrors none."""
    straight = make(tmp_path / "straight.mp4", *picture("128x72", seconds=1), *FAST)
    found = await probe(make(tmp_path / "turned.mp4", *turned, "-i", str(straight), "-c", "copy"))
    assert found.video is not None
    assert found.video.is_plain == is_plain
