"""The verifier: a good generation passes; damaged in one way, it fails by that rule's name, in that rendition."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from core import errors
from core.errors import Refusal
from core.objects import ObjectStore
from tests.transcoder.sources import FAST, encode_locally, ffmpeg, make, picture, sound
from transcoder import playlists
from transcoder.access_units import begins_anew
from transcoder.assemble import Generation
from transcoder.boxes import Mp4Error
from transcoder.check import check_generation
from transcoder.package import INIT, package_audio
from transcoder.publish import publish
from transcoder.unsound import Rule, Unsound
from transcoder.verify import verify

VIDEO, AUDIO, IFRAMES = "video/180p/playlist.m3u8", "audio/0-en/playlist.m3u8", "video/180p/iframes.m3u8"
TEXT, MASTER = "subtitles/fr/playlist.m3u8", "master.m3u8"
SECONDS = Fraction(5)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """Picture, two sounds, subtitles; never changed."""
    import asyncio

    folder = tmp_path_factory.mktemp("good")
    words = folder / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:02,000\nHello\n")
    path = make(
        folder / "film.mkv", *picture(seconds=5), *sound(440, 5), *sound(880, 5), "-i", str(words), "-map", "0", "-map", "1", "-map", "2",
        "-map", "3", *FAST, "-c:a", "aac", "-c:s", "srt", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger",
        "-metadata:s:s:0", "language=fre",
    )  # fmt: skip
    return asyncio.run(encode_locally(path, folder / "work")).generation


@pytest.fixture
def copy(good: Generation, tmp_path: Path) -> Path:
    """One that may be damaged."""
    return Path(shutil.copytree(good.folder, tmp_path / "copy"))


Damage = Callable[[Path], None]


def text(path: str, old: str, new: str) -> Damage:
    """The first `old` of a text file becomes `new`."""

    def do(folder: Path) -> None:
        target = folder / path
        whole = target.read_text()
        assert old in whole
        target.write_text(whole.replace(old, new, 1))

    return do


def octets(path: str, mark: bytes, offset: int, new: bytes) -> Damage:
    """Bytes at `offset` from the first `mark` are overwritten."""

    def do(folder: Path) -> None:
        target = folder / path
        data = bytearray(target.read_bytes())
        at = data.find(mark) + offset
        assert at >= offset
        data[at : at + len(new)] = new
        target.write_bytes(data)

    return do


def remove(path: str) -> Damage:
    return lambda folder: (folder / path).unlink()


def longer(path: str) -> Damage:
    def do(folder: Path) -> None:
        with (folder / path).open("ab") as file:
            file.write(struct.pack(">I4s", 8, b"mdat"))

    return do


def fields(path: str, tag: str, name: str, change: Callable[[int], int]) -> Damage:
    """A number in the first tag's attribute list is changed."""

    def do(folder: Path) -> None:
        target = folder / path
        pattern = rf"({tag}:[^\n]*?\b{name}=)(\d+)"
        whole, count = re.subn(pattern, lambda m: f"{m[1]}{change(int(m[2]))}", target.read_text(), count=1)
        assert count == 1
        target.write_text(whole)

    return do


@dataclass(frozen=True)
class Case:
    rule: Rule
    rendition: str
    damage: Damage


CASES = {
    "no end": Case(Rule.PLAYLIST, VIDEO, text(VIDEO, "#EXT-X-ENDLIST\n", "")),
    "no type": Case(Rule.PLAYLIST, AUDIO, text(AUDIO, "#EXT-X-PLAYLIST-TYPE:VOD\n", "")),
    "no first line": Case(Rule.PLAYLIST, MASTER, text(MASTER, "#EXTM3U\n", "")),
    "not independent": Case(Rule.PLAYLIST, MASTER, text(MASTER, "#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
    "a segment that is not there": Case(Rule.PLAYLIST, VIDEO, remove("video/180p/1.m4s")),
    "a playlist that is not there": Case(Rule.PLAYLIST, AUDIO, remove(AUDIO)),
    "target duration too short": Case(Rule.TARGET_DURATION, VIDEO, text(VIDEO, "TARGETDURATION:4", "TARGETDURATION:3")),
    "another target duration for the sound": Case(Rule.TARGET_DURATION, AUDIO, text(AUDIO, "TARGETDURATION:4", "TARGETDURATION:5")),
    "a wrong EXTINF": Case(Rule.EXTINF, VIDEO, text(VIDEO, "#EXTINF:4.000000", "#EXTINF:3.900000")),
    "a segment not listed": Case(Rule.DURATION, VIDEO, text(VIDEO, "#EXTINF:1.000000,\n1.m4s\n", "")),
    "sound that ends early": Case(Rule.DURATION, AUDIO, lambda f: _drop_last(f / AUDIO)),
    "subtitles that end early": Case(Rule.DURATION, TEXT, text(TEXT, "#EXTINF:5.000000", "#EXTINF:4.000000")),
    "segments in another order": Case(Rule.CONTINUITY, VIDEO, text(VIDEO, "0.m4s", "1.m4s")),
    "a hole in the decode times": Case(Rule.CONTINUITY, VIDEO, octets("video/180p/1.m4s", b"tfdt", 8, struct.pack(">Q", 7))),
    "shown too late": Case(Rule.FIRST_PTS, VIDEO, octets("video/180p/init.mp4", b"elst", 16, struct.pack(">I", 0))),
    "no sync sample": Case(Rule.KEY_FRAME, VIDEO, octets("video/180p/0.m4s", b"trun", 16, struct.pack(">I", 0x01010000))),
    "a key frame that is none": Case(Rule.KEY_FRAME, VIDEO, lambda f: _unmake_idr(f / "video/180p/1.m4s")),
    "a stray box in the init segment": Case(Rule.INIT, VIDEO, longer("video/180p/init.mp4")),
    "no init segment": Case(Rule.INIT, VIDEO, remove("video/180p/init.mp4")),
    "a segment cut off": Case(Rule.FRAGMENT, VIDEO, lambda f: _shorten(f / "video/180p/0.m4s")),
    "an empty mdat": Case(Rule.FRAGMENT, VIDEO, longer("video/180p/0.m4s")),
    "a wrong data offset": Case(Rule.FRAGMENT, AUDIO, octets("audio/0-en/0.m4s", b"trun", 12, struct.pack(">i", 4))),
    "CODECS guessed": Case(Rule.CODECS, VIDEO, text(MASTER, "mp4a.40.2", "mp4a.40.5")),
    "RESOLUTION guessed": Case(Rule.RESOLUTION, VIDEO, text(MASTER, "RESOLUTION=320x180,FRAME", "RESOLUTION=320x182,FRAME")),
    "FRAME-RATE guessed": Case(Rule.RESOLUTION, VIDEO, text(MASTER, "FRAME-RATE=25.000", "FRAME-RATE=24.000")),
    "BANDWIDTH too low": Case(Rule.BANDWIDTH, VIDEO, fields(MASTER, "STREAM-INF", "BANDWIDTH", lambda n: n // 2)),
    "AVERAGE-BANDWIDTH too high": Case(Rule.BANDWIDTH, VIDEO, fields(MASTER, "STREAM-INF", "AVERAGE-BANDWIDTH", lambda n: n * 2)),
    "a range that is none": Case(Rule.RANGE, VIDEO, text(MASTER, ",FRAME-RATE=", ",VIDEO-RANGE=PQ,FRAME-RATE=")),
    "no range for ordinary screens": Case(Rule.RANGE, MASTER, lambda f: _colour(f / "video/180p/init.mp4", 16)),
    "a score for some": Case(Rule.SCORE, MASTER, lambda f: _score_one(f / MASTER)),
    "a group that is not there": Case(Rule.GROUPS, VIDEO, text(MASTER, ',SUBTITLES="text"', ',SUBTITLES="words"')),
    "two defaults": Case(Rule.GROUPS, MASTER, text(MASTER, 'LANGUAGE="de",DEFAULT=NO', 'LANGUAGE="de",DEFAULT=YES')),
    "two of one name": Case(Rule.GROUPS, MASTER, text(MASTER, 'NAME="Deutsch"', 'NAME="English"')),
    "a byte range beside the key frame": Case(Rule.IFRAMES, IFRAMES, text(IFRAMES, "@24", "@25")),
    "a byte range too short": Case(Rule.IFRAMES, IFRAMES, lambda f: _shorten_range(f / IFRAMES)),
    "key frames not marked": Case(Rule.IFRAMES, IFRAMES, text(IFRAMES, "#EXT-X-I-FRAMES-ONLY\n", "")),
    "subtitles without a clock": Case(Rule.TEXT, TEXT, text("subtitles/fr/0.vtt", "X-TIMESTAMP-MAP", "X-TIMESTAMP")),
}  # fmt: skip


def _drop_last(playlist: Path) -> None:
    lines = playlist.read_text().splitlines()
    playlist.write_text("\n".join([*lines[:-3], lines[-1]]) + "\n")


def _shorten(segment: Path) -> None:
    segment.write_bytes(segment.read_bytes()[:-1])


def _shorten_range(playlist: Path) -> None:
    whole = playlist.read_text()
    playlist.write_text(re.sub(r"BYTERANGE:(\d+)@", lambda m: f"BYTERANGE:{int(m[1]) - 1}@", whole, count=1))


def _colour(init: Path, transfer: int) -> None:
    """The only picture says that it is PQ: a colour box in place of the pixel aspect and the bit rates behind it."""
    data = init.read_bytes()
    at = data.find(b"pasp") - 4
    size = 16 + int.from_bytes(data[at + 16 : at + 20], "big")
    told = struct.pack(">4sHHHB", b"nclx", 9, transfer, 9, 0)
    box = struct.pack(">I4s", 8 + len(told), b"colr") + told
    filled = box + struct.pack(">I4s", size - len(box), b"free") + bytes(size - len(box) - 8)
    init.write_bytes(data[:at] + filled + data[at + size :])


def _score_one(master: Path) -> None:
    """A second variant, the same picture again, without the score that the first one gets."""
    whole = master.read_text()
    found = re.search(r"#EXT-X-STREAM-INF:[^\n]*\n[^\n]*\n", whole)
    assert found is not None
    again = found[0].replace("video/180p/playlist", "video/180p/../180p/playlist")
    scored = found[0].replace(",FRAME-RATE", ",SCORE=1.0,FRAME-RATE")
    master.write_text(whole.replace(found[0], scored + again))


def _unmake_idr(segment: Path) -> None:
    """The IDR picture's type becomes an ordinary picture's; its flags go on saying that it is one."""
    data = bytearray(segment.read_bytes())
    at = data.find(b"mdat") + 4
    while data[at + 4] & 0x1F != 5:
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    data[at + 4] = data[at + 4] & 0xE0 | 1
    segment.write_bytes(data)


def test_a_good_generation_passes(good: Generation) -> None:
    assert verify(good.folder, good.duration, 5.0) == 5


@pytest.mark.parametrize("name", sorted(CASES))
def test_damage_is_named_by_its_rule_and_rendition(copy: Path, name: str) -> None:
    case = CASES[name]
    case.damage(copy)
    with pytest.raises(Unsound) as unsound:
        verify(copy, SECONDS, 5.0)
    assert (unsound.value.rule, unsound.value.rendition) == (case.rule, case.rendition), str(unsound.value)
    assert case.rule in str(unsound.value)


def test_every_rule_has_a_case() -> None:
    """Four more need more than a damaged file: three are shown below, encryption in test_encrypt.py."""
    elsewhere = {Rule.ALIGNMENT, Rule.DECODE, Rule.CHECKSUM, Rule.ENCRYPTION}
    assert {case.rule for case in CASES.values()} | elsewhere == set(Rule)


def test_a_plan_that_is_not_the_sources_length_is_refused(good: Generation) -> None:
    with pytest.raises(Unsound) as unsound:
        verify(good.folder, good.duration, 32 * 60.0)
    assert unsound.value.rule is Rule.DURATION


def test_sound_cut_elsewhere_than_the_picture_is_refused(copy: Path) -> None:
    """The same sound, the same length, but segments of three seconds."""
    folder = copy / "audio/1-de"
    raw = copy.parent / "raw.mp4"
    raw.write_bytes(b"".join((folder / name).read_bytes() for name in ("init.mp4", "0.m4s", "1.m4s")))
    shutil.rmtree(folder)
    packaged = package_audio(raw, folder, Fraction(3))
    (folder / "playlist.m3u8").write_text(playlists.media_playlist(packaged.segments, 4, init=INIT))
    with pytest.raises(Unsound) as unsound:
        verify(copy, SECONDS)
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.ALIGNMENT, "audio/1-de/playlist.m3u8")


async def test_what_cannot_be_decoded_is_refused_with_the_rendition(good: Generation, copy: Path) -> None:
    """The structure is whole, the coded picture is not: only a decoder sees it."""
    from dataclasses import replace

    target = copy / "video/180p/0.m4s"
    data = bytearray(target.read_bytes())
    middle = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 8
    data[middle : middle + 400] = bytes(range(200, 256)) * 7 + b"\xff" * 8
    target.write_bytes(data)
    with pytest.raises(Refusal) as refused:
        await check_generation(ffmpeg(), replace(good, folder=copy), 5.0)
    assert refused.value.code is errors.VERIFY_FAILED
    assert "Rule decode of video/180p/" in str(refused.value) or "Rule fragment of video/180p/" in str(refused.value)


class Forgetful(ObjectStore):
    """Gives back one byte more of one object."""

    async def digest(self, key: str) -> tuple[int, str]:
        size_bytes, found = await super().digest(key)
        return size_bytes + key.endswith("0.m4s"), found


async def test_a_store_that_gives_back_something_else_publishes_nothing(good: Generation, tmp_path: Path) -> None:
    store = Forgetful(f"file://{tmp_path / 'store'}")
    with pytest.raises(Unsound) as unsound:
        await publish(store, good.folder, "hls/x/1-1", lambda share: None)
    assert unsound.value.rule is Rule.CHECKSUM
    assert [key async for key in store.keys("hls")] == []


async def test_what_was_in_the_store_before_is_noticed(good: Generation, objects: ObjectStore) -> None:
    await objects.put("hls/x/1-1/video/old.m4s", b"from an attempt that was killed")
    with pytest.raises(Unsound) as unsound:
        await publish(objects, good.folder, "hls/x/1-1", lambda share: None)
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.CHECKSUM, "video/old.m4s")


@pytest.mark.parametrize(
    ("codecs", "sample", "is_one"),
    [
        ("avc1.640028", b"\0\0\0\2\x67\1\0\0\0\2\x65\1", True),
        ("avc1.640028", b"\0\0\0\2\x41\1", False),
        ("avc1.640028", b"\0\0\0\2\x67\1", False),
        ("hvc1.1.6.L93.b0", b"\0\0\0\3\x40\1\1\0\0\0\3\x26\1\1", True),
        ("hvc1.1.6.L93.b0", b"\0\0\0\3\x2a\1\1", False),
        ("av01.0.04M.08", b"\x12\0\x0a\1\0\x32\1\x10", True),
        ("av01.0.04M.08", b"\x12\0\x32\1\x10", False),
        ("av01.0.04M.08", b"\x12\0\x0a\1\0\x32\1\x30", False),
    ],
    ids=["avc", "avc-inter", "avc-headers", "hevc-idr", "hevc-cra", "av1", "av1-no-sequence", "av1-inter"],
)
def test_a_picture_that_begins_anew_is_told_from_one_that_does_not(codecs: str, sample: bytes, is_one: bool) -> None:
    assert begins_anew(codecs, sample) is is_one


@pytest.mark.parametrize("sample", [b"\0\0\0\xff\x65", b"\0\0\0\0", b"\0\0"])
def test_a_broken_access_unit_is_no_picture(sample: bytes) -> None:
    with pytest.raises((Mp4Error, IndexError)):
        begins_anew("avc1.640028", sample)
