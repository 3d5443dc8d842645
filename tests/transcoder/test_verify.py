"""The verifier: a good generation passes; damaged in one way, it fails by that rule's name, in that rendition."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from transcoder.boxes import Mp4Error, boxes
from transcoder.check import check_generation
from transcoder.encrypt import encrypt_generation
from transcoder.mp4 import read_fragment, read_track
from transcoder.package import INIT, package_audio
from transcoder.publish import publish
from transcoder.samples import RECORD, Decoded, Tally, check_files, write_record
from transcoder.unsound import Rule, Unsound
from transcoder.verify import verify
from transcoder.verify_samples import check_samples

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
    """The only picture says that it has BT.2020's colours and this transfer."""
    data = bytearray(init.read_bytes())
    at = data.find(b"colrnclx") + 8
    assert at > 8
    struct.pack_into(">HHH", data, at, 9, transfer, 9)
    init.write_bytes(data)


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
    """Five more need more than a damaged file: four are shown below, encryption in test_encrypt.py."""
    elsewhere = {Rule.ALIGNMENT, Rule.DECODE, Rule.SAMPLES, Rule.CHECKSUM, Rule.ENCRYPTION}
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


# ------------------------------------------------------------------------------------------- what was decoded, and only that


def _spoil(segment: Path) -> None:
    """The structure stays whole, the coded picture does not: only a decoder sees it, or who knows what was decoded."""
    data = bytearray(segment.read_bytes())
    at = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 8
    data[at : at + 400] = bytes(range(200, 256)) * 7 + b"\xff" * 8
    segment.write_bytes(data)


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _retime(segment: Path) -> None:
    """Two samples change their places in time, which no sum shows."""
    data = bytearray(segment.read_bytes())
    at = data.find(b"trun") + 4
    count, width = int.from_bytes(data[at + 4 : at + 8], "big"), 4 * (data[at + 2] & 0xF).bit_count()
    rows = at + 16
    first, second = (data[rows + n * width + width - 4 : rows + (n + 1) * width] for n in (1, 2))
    assert count > 2
    assert first != second
    data[rows + 2 * width - 4 : rows + 2 * width], data[rows + 3 * width - 4 : rows + 3 * width] = second, first
    segment.write_bytes(data)


OTHER_SOUND = "audio/1-de/playlist.m3u8"
SWAPS: dict[str, tuple[str, Damage]] = {
    "a bit of a picture": (VIDEO, lambda f: _flip(f / "video/180p/1.m4s", -9)),
    "the last bit of a sound": (AUDIO, lambda f: _flip(f / "audio/0-en/1.m4s", -1)),
    "two segments in each other's place": (VIDEO, lambda f: _swap(f / "video/180p/0.m4s", f / "video/180p/1.m4s")),
    "a segment of another rendition": (OTHER_SOUND, lambda f: _copy(f, "audio/0-en/0.m4s", "audio/1-de/0.m4s")),
    "another sample entry": (VIDEO, lambda f: _flip(f / "video/180p/init.mp4", _in_entry(f / "video/180p/init.mp4"))),
    "two pictures in each other's place": (VIDEO, lambda f: _retime(f / "video/180p/0.m4s")),
    "a segment too few": (AUDIO, lambda f: _drop_last(f / AUDIO)),
    "a segment too many": (VIDEO, text(VIDEO, "#EXT-X-ENDLIST", "#EXTINF:1.000000,\n1.m4s\n#EXT-X-ENDLIST")),
}  # fmt: skip


def _copy(folder: Path, source: str, target: str) -> None:
    (folder / target).write_bytes((folder / source).read_bytes())


def _in_entry(init: Path) -> int:
    """Within what the decoder is told of the picture's coding."""
    data = init.read_bytes()
    at = data.find(b"avcC")
    assert at > 0
    return at + int.from_bytes(data[at - 4 : at], "big") - 6


@pytest.mark.parametrize("name", sorted(SWAPS))
def test_what_was_not_decoded_is_refused_wherever_it_lies(good: Generation, copy: Path, name: str) -> None:
    path, damage = SWAPS[name]
    damage(copy)
    with pytest.raises(Unsound) as unsound:
        check_samples(replace(good, folder=copy))
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.SAMPLES, path)


ENCRYPTED: dict[str, tuple[str, Damage]] = {
    "a bit of a picture": (VIDEO, lambda f: _flip(f / "video/180p/1.m4s", 640)),
    "the last bit of a sound, which is padding": (AUDIO, lambda f: _flip(f / "audio/0-en/1.m4s", -1)),
    "two segments in each other's place": SWAPS["two segments in each other's place"],
    "a segment of another rendition": SWAPS["a segment of another rendition"],
    "another vector": (VIDEO, lambda f: _turn(f / VIDEO)),
    "no vector": (VIDEO, text(VIDEO, ",IV=0x", ",VI=0x")),
}


def _turn(playlist: Path) -> None:
    playlist.write_text(re.sub(r"IV=0x[0-9a-f]{32}", f"IV=0x{'0' * 32}", playlist.read_text()))


@pytest.mark.parametrize("name", sorted(ENCRYPTED))
def test_what_decrypts_to_something_else_is_refused(good: Generation, copy: Path, name: str) -> None:
    path, damage = ENCRYPTED[name]
    key = bytes(range(16))
    made = encrypt_generation(replace(good, folder=copy), key)
    check_samples(made, key)
    damage(copy)
    with pytest.raises(Unsound) as unsound:
        check_samples(made, key)
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.SAMPLES, path)


def test_what_nobody_decoded_is_refused(good: Generation) -> None:
    without = {path: parts for path, parts in good.decoded.items() if path != AUDIO}
    with pytest.raises(Unsound) as unsound:
        check_samples(replace(good, decoded=without))
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.SAMPLES, AUDIO)


@pytest.mark.parametrize("name", ["0.m4s", "1.m4s"])
async def test_a_refusal_names_the_rendition_that_is_not_what_was_decoded(
    good: Generation, copy: Path, name: str
) -> None:
    _spoil(copy / "video/180p" / name)
    with pytest.raises(Refusal) as refused:
        await check_generation(ffmpeg(), replace(good, folder=copy), 5.0)
    assert refused.value.code is errors.VERIFY_FAILED
    assert f"Rule samples of {VIDEO}: its samples are not those that were decoded." in str(refused.value)


async def test_a_beginning_that_players_cannot_decode_is_refused_with_the_rendition(
    good: Generation, copy: Path
) -> None:
    """As if what was decoded had been nonsense already: the last look goes through playlists and init segment as a player does."""
    _spoil(copy / "video/180p/0.m4s")
    made = replace(good, folder=copy)
    tally = Tally((copy / "video/180p/init.mp4").read_bytes())
    shift = read_track((copy / "video/180p/init.mp4").read_bytes()).edit_start
    for segment in ("0.m4s", "1.m4s"):
        data = (copy / "video/180p" / segment).read_bytes()
        parts = [box for box in boxes(data) if box.kind in (b"moof", b"mdat")]
        for moof, mdat in zip(parts[::2], parts[1::2], strict=True):
            tally.add(read_fragment(data[moof.start : moof.end]), data[mdat.body : mdat.end], shift)
    forged = Decoded("", tally.samples, tally.hexdigest())
    with pytest.raises(Refusal) as refused:
        await check_generation(ffmpeg(), replace(made, decoded={**made.decoded, VIDEO: (forged,)}), 5.0)
    assert f"Rule decode of {VIDEO}: its decoder complains." in str(refused.value)


@pytest.mark.parametrize("where", ["record", "pictures"])
def test_pieces_that_the_store_gives_back_otherwise_are_noticed(where: str, tmp_path: Path) -> None:
    (tmp_path / "video-180p.mp4").write_bytes(b"what was decoded")
    digest = hashlib.sha256(b"what was decoded").hexdigest()
    write_record(tmp_path, {"video-180p.mp4": Decoded(digest, 1, "")})
    check_files(tmp_path)
    damaged = tmp_path / ("video-180p.mp4" if where == "pictures" else RECORD)
    damaged.write_bytes(b"something else")
    with pytest.raises(Unsound) as unsound:
        check_files(tmp_path)
    assert (unsound.value.rule, unsound.value.rendition) == (Rule.CHECKSUM, damaged.name)


class Forgetful(ObjectStore):
    """Gives back one byte more of one object."""

    async def put(self, key: str, data: bytes | Path) -> None:
        await super().put(key, data)
        if key.endswith("0.m4s") and self.folder is not None:
            with (self.folder / key).open("ab") as file:
                file.write(b"x")


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
