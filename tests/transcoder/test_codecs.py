"""HEVC and AV1 beside H.264, and a high dynamic range kept in them: the same cuts, honest playlists, colours that decoders see."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.process import run_tool
from edge.hls.playlist_filter import below_ceiling, manifest_below_ceiling
from tests.transcoder.sources import FAST, Made, decode_warnings, encode_locally, ffmpeg, film, make, picture
from tests.transcoder.test_chunks import psnr_of_frames
from transcoder import encode, encoder
from transcoder.assemble import assemble
from transcoder.boxes import Box
from transcoder.codecs import CODECS, FACTS, TRANSFERS, Codec, VideoRange, crf_like, sort_codecs
from transcoder.ladder import Tuned, Wishes, decide_chunks, in_codec, plan
from transcoder.luminance import read_light, read_mastering, svt_parameters, x265_parameters
from transcoder.mp4 import read_track
from transcoder.probe import probe
from transcoder.sample_entry import Colours, codec_string, read_colours
from transcoder.source import AudioTrack, LightLevel, Mastering, Source, VideoTrack
from transcoder.verify import verify

ALL = Wishes(CODECS)
MPD = "{urn:mpeg:dash:schema:mpd:2011}"
SCREEN = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codecs")


async def made_of(path: Path, work: Path, wishes: Wishes = ALL) -> Made:
    """A generation that passes every check."""
    made = await encode_locally(path, work, wishes=wishes)
    verify(made.folder, made.plan.duration, made.source.duration_s)
    assert await decode_warnings(made.folder) == ""
    return made


def hdr_film(
    target: Path, transfer: str, parameters: Sequence[str] = ("colorprim=bt2020", "colormatrix=bt2020nc")
) -> Path:
    """Three seconds in ten bit."""
    told = ":".join(["log-level=error", f"transfer={transfer}", *parameters])
    return make(
        target,
        *picture("256x144", "25", 3),
        "-vf",
        "format=yuv420p10le",
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        told,
    )


def attributes(text: str, tag: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"#{tag}:")]
    return [{k: v.strip('"') for k, v in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line)} for line in lines]


def first_frame(playlist: Path) -> str:
    """What a decoder tells of a rendition's first picture."""
    done = run_tool(
        [ffmpeg(), "-nostdin", "-v", "info", "-i", playlist, "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"],
        timeout_s=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


async def test_every_codec_has_the_ladder_on_the_same_cuts(folder: Path, tmp_path: Path) -> None:
    made = await made_of(film(folder / "film.mp4", 5, "30000/1001", "480x360"), tmp_path)
    text = (made.folder / "master.m3u8").read_text()
    shown = attributes(text, "EXT-X-STREAM-INF")
    assert [v["CODECS"].split(",")[0].split(".")[0] for v in shown] == ["avc1"] * 2 + ["hvc1"] * 2 + ["av01"] * 2
    assert not any("VIDEO-RANGE" in v for v in shown)
    # Whatever the bandwidth, a player with a choice takes more lines before another codec, and a better codec at equal lines.
    ranked = sorted(shown, key=lambda v: float(v["SCORE"]))
    assert [(v["RESOLUTION"], v["CODECS"][:4]) for v in ranked] == [
        (size, codec) for size in ("320x240", "480x360") for codec in ("avc1", "hvc1", "av01")
    ]
    cuts = {
        name: re.findall(r"#EXTINF:([\d.]+)", (made.folder / f"video/{name}/playlist.m3u8").read_text())
        for name in ("360p", "240p", "360p-hevc", "240p-hevc", "360p-av1", "240p-av1")
    }
    assert len({tuple(found) for found in cuts.values()}) == 1
    assert len(attributes(text, "EXT-X-I-FRAME-STREAM-INF")) == 6
    for variant in shown:
        track = read_track((made.folder / f"video/{_name(variant)}/init.mp4").read_bytes())
        assert variant["CODECS"] == f"{track.codecs},mp4a.40.2"
    root = ElementTree.fromstring((made.folder / "manifest.mpd").read_text())
    sets = [s for s in root.iter(f"{MPD}AdaptationSet") if s.get("contentType") == "video"]
    assert [s.get("id") for s in sets] == ["avc1", "hvc1", "av01"]
    assert [int(s.get("selectionPriority", "0")) for s in sets] == [1, 2, 3]
    assert all(len(list(s.iter(f"{MPD}Representation"))) == 2 for s in sets)
    # A ceiling of quality holds for every codec.
    assert set(re.findall(r"RESOLUTION=(\S+?),", below_ceiling(text, 240))) == {"320x240"}
    assert 'height="360"' not in manifest_below_ceiling((made.folder / "manifest.mpd").read_text(), 240)


def _name(variant: dict[str, str]) -> str:
    suffix = {"avc1": "", "hvc1": "-hevc", "av01": "-av1"}[variant["CODECS"][:4]]
    return f"{variant['RESOLUTION'].partition('x')[2]}p{suffix}"


@pytest.mark.parametrize(("transfer", "shown"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
async def test_a_high_range_is_kept_where_it_can_be_and_mapped_where_it_cannot(
    transfer: str, shown: str, folder: Path, tmp_path: Path
) -> None:
    told = ["colorprim=bt2020", "colormatrix=bt2020nc", f"master-display={SCREEN}", "max-cll=1000,400"]
    made = await made_of(hdr_film(folder / f"{shown}.mkv", transfer, told), tmp_path)
    text = (made.folder / "master.m3u8").read_text()
    for tag in ("EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF"):
        ranges = {v["CODECS"][:4]: v["VIDEO-RANGE"] for v in attributes(text, tag)}
        assert ranges == {"avc1": "SDR", "hvc1": shown, "av01": shown}
    codecs = {v["CODECS"][:4]: v["CODECS"] for v in attributes(text, "EXT-X-STREAM-INF")}
    number = {"PQ": 16, "HLG": 18}[shown]
    assert codecs["hvc1"].startswith("hvc1.2.4.")  # Main 10
    assert re.fullmatch(rf"av01\.0\.\d\dM\.10\.0\.11\d\.09\.{number}\.09\.0", codecs["av01"])
    for name in ("144p-hevc", "144p-av1"):
        said = first_frame(made.folder / f"video/{name}/playlist.m3u8")
        assert f"yuv420p10le(tv, bt2020nc/bt2020/{transfer}" in said
        # Relative light has no screen it was graded on.
        assert ("MaxCLL=1000, MaxFALL=400" in said) is (shown == "PQ")
        mastered = "r(0.6800,0.3200) g(0.2650,0.6900) b(0.1500 0.0600) wp(0.3127, 0.3290)" in said
        assert mastered is (shown == "PQ")
    assert "yuv420p(tv, bt709" in first_frame(made.folder / "video/144p/playlist.m3u8")
    kind = "EssentialProperty" if shown == "PQ" else "SupplementalProperty"
    root = ElementTree.fromstring((made.folder / "manifest.mpd").read_text())
    for found in root.iter(f"{MPD}AdaptationSet"):
        stated = {p.get("schemeIdUri", "").rpartition(":")[2]: p.get("value") for p in found.iter(f"{MPD}{kind}")}
        high = {"ColourPrimaries": "9", "TransferCharacteristics": str(number), "MatrixCoefficients": "9"}
        assert stated == ({} if found.get("id") == "avc1" else high)


async def test_a_range_whose_primaries_are_not_stated_is_understood(folder: Path, tmp_path: Path) -> None:
    """Cameras leave them out; without them zscale finds no way from PQ to anything."""
    path = hdr_film(folder / "untold.mkv", "smpte2084", ())
    found = await probe(path)
    assert found.video is not None
    assert (found.video.transfer, found.video.is_tagged) == ("pq", False)
    made = await made_of(path, tmp_path, Wishes(("h264", "hevc")))
    assert "(tv, bt2020nc/bt2020/smpte2084" in first_frame(made.folder / "video/144p-hevc/playlist.m3u8")


async def test_ten_bit_alone_is_no_high_range(folder: Path, tmp_path: Path) -> None:
    path = make(folder / "ten.mkv", *picture("128x72", seconds=2), "-vf", "format=yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast",
                "-x265-params", "log-level=error")  # fmt: skip
    made = await made_of(path, tmp_path, Wishes(("h264", "hevc")))
    assert "VIDEO-RANGE" not in (made.folder / "master.m3u8").read_text()
    assert "yuv420p(" in first_frame(made.folder / "video/72p-hevc/playlist.m3u8")


@pytest.mark.parametrize("codec", CODECS[1:])
async def test_chunks_of_another_codec_join_unseen(codec: Codec, tmp_path: Path) -> None:
    """Made apart, as by two machines: one init segment, every frame once, and no picture that shows where the join is."""
    path = make(tmp_path / "film.mp4", *picture("256x144", "25", 9), *FAST, "-g", "80")
    source = await probe(path)
    wanted = plan(source, Wishes(("h264", codec)))
    assert wanted.grid is not None
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    argv = encode.pictures_argv(ffmpeg(), path, source, wanted, whole)
    await encoder.encode(argv, 9, lambda _: None, reads=[path], writes=whole)
    chunks = decide_chunks(wanted, 4)
    assert len(chunks) == 2
    for number, chunk in enumerate(chunks):
        piece = parts / str(number)
        piece.mkdir(parents=True)
        argv = encode.chunk_argv(ffmpeg(), path, source, wanted, piece, chunk)
        await encoder.encode(argv, 5, lambda _: None, reads=[path], writes=piece)
    one = assemble(source, wanted, whole, tmp_path / "one", None)
    joined = assemble(source, wanted, parts, tmp_path / "joined", None, len(chunks))
    verify(joined.folder, joined.duration, source.duration_s)
    assert await decode_warnings(joined.folder) == ""
    rung = f"video/144p-{codec}/playlist.m3u8"
    found = psnr_of_frames(joined.folder / rung, one.folder / rung, tmp_path / "psnr.log")
    assert len(found) == wanted.grid.frames
    # A frame that is missing, doubled or in another place falls below 25 dB; SVT spends its bits otherwise at a new start.
    assert min(found) > 26


# ------------------------------------------------------------------------------------------------------------- decisions


@given(st.lists(st.sampled_from([*CODECS, "vp9", ""]), max_size=6))
def test_h264_is_always_there_and_first(codecs: list[str]) -> None:
    found = sort_codecs(codecs)
    assert found[0] == "h264"
    assert set(found) == {"h264", *codecs} & set(CODECS)


@given(st.sampled_from(CODECS), st.integers(-20, 80), st.integers(0, 20))
def test_a_worse_quality_is_worse_in_every_codec_and_within_its_scale(codec: Codec, crf: int, more: int) -> None:
    least, most = FACTS[codec].crf_range
    assert least <= crf_like(codec, crf) <= crf_like(codec, crf + more) <= most


@given(st.sampled_from(["sdr", *TRANSFERS]), st.sampled_from(CODECS[1:]))
def test_another_codec_costs_less_and_only_it_keeps_a_high_range(transfer: VideoRange, codec: Codec) -> None:
    source = Source("mov", 60.0, VideoTrack(0, "hevc", 1920, 1080, transfer=transfer), (AudioTrack(1, "aac", 2),))
    wanted = plan(source, Wishes(("h264", codec)))
    other = [rung for rung in wanted.rungs if rung.codec == codec]
    assert [(rung.width, rung.height) for rung in other] == [(rung.width, rung.height) for rung in wanted.base]
    assert all(mine.max_bps <= base.max_bps for mine, base in zip(other, wanted.base, strict=True))
    assert {rung.range for rung in wanted.base} == {"sdr"}
    assert {rung.range for rung in other} == {transfer}
    assert len({rung.name for rung in wanted.rungs}) == len(wanted.rungs)


def test_what_was_measured_replaces_the_usual_and_never_exceeds_it() -> None:
    source = Source("mov", 60.0, VideoTrack(0, "h264", 1920, 1080))
    usual = plan(source).base
    wanted = plan(source, Wishes(("h264", "av1"), (Tuned(1080, 27, 2_000_000), Tuned(480, 24, 99_000_000))))
    assert [(rung.lines, rung.crf, rung.max_bps) for rung in wanted.base] == [
        (1080, 27, 2_000_000),
        (480, 24, usual[2].max_bps),
    ]
    assert [rung.lines for rung in wanted.rungs if rung.codec == "av1"] == [1080, 480]
    assert in_codec(wanted.base[0], "av1", "sdr").crf == crf_like("av1", 27)


# ------------------------------------------------------------------------------------------------------ bytes and numbers


def av1_entry(record: bytes, colours: Colours | None) -> tuple[bytes, Box]:
    children = struct.pack(">I4s", 8 + len(record), b"av1C") + record
    if colours is not None:
        told = struct.pack(
            ">4sHHHB", b"nclx", colours.primaries, colours.transfer, colours.matrix, 0x80 * colours.is_full_range
        )
        children += struct.pack(">I4s", 8 + len(told), b"colr") + told
    data = struct.pack(">I4s", 86 + len(children), b"av01") + bytes(78) + children
    return data, Box(b"av01", 0, 8, len(data))


@pytest.mark.parametrize(
    ("record", "colours", "expected"),
    [
        ("81010c00", None, "av01.0.01M.08"),
        ("81 0d cc 00", None, "av01.0.13H.10"),
        ("81 48 7c 00", None, "av01.2.08M.12"),
        ("81 04 0c 00", Colours(1, 1, 1, False), "av01.0.04M.08"),
        ("81 04 4c 00", Colours(9, 16, 9, False), "av01.0.04M.10.0.110.09.16.09.0"),
        ("81 04 4d 00", Colours(9, 18, 9, True), "av01.0.04M.10.0.111.09.18.09.1"),
    ],
)
def test_the_codec_string_is_read_from_the_record(record: str, colours: Colours | None, expected: str) -> None:
    data, entry = av1_entry(bytes.fromhex(record), colours)
    assert codec_string(data, entry) == expected
    assert read_colours(data, entry) == colours


@given(st.binary(max_size=120))
def test_any_side_data_is_read_or_left_alone(raw: bytes) -> None:
    mastering, light = read_mastering(raw), read_light(raw)
    if mastering is not None:
        assert 0 <= mastering.least < mastering.most <= 100_000_000
    if light is not None:
        assert 0 < light.pixel < 1 << 16


def test_a_screen_is_told_to_each_encoder_in_its_own_units() -> None:
    points = [
        (34000, 50000),
        (16000, 50000),
        (13250, 50000),
        (34500, 50000),
        (7500, 50000),
        (3000, 50000),
        (15635, 50000),
        (16450, 50000),
    ]
    raw = struct.pack("=20i2i", *(n for point in points for n in point), 1, 10000, 1000, 1, 1, 1)
    mastering = read_mastering(raw)
    assert mastering == Mastering((34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450), 10_000_000, 1)
    assert read_mastering(raw[:-8] + struct.pack("=2i", 1, 0)) is None
    video = VideoTrack(0, "hevc", 16, 16, transfer="pq", mastering=mastering, light=LightLevel(1000, 400))
    assert x265_parameters(video) == f":master-display={SCREEN}:max-cll=1000,400"
    assert svt_parameters(video) == (
        ":mastering-display=G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0001)"
        ":content-light=1000,400"
    )
    assert x265_parameters(VideoTrack(0, "hevc", 16, 16)) == ""


async def test_ultra_high_definition_in_every_codec_says_what_decoders_need(folder: Path) -> None:
    """Two pictures of 2160p: levels are of the size, not of the length."""
    film_ = make(folder / "tall.mp4", *picture("3840x2160", "10", 0.2), *FAST)
    made = await made_of(film_, folder / "tall", Wishes(CODECS, top=2160))
    variants = attributes((made.folder / "master.m3u8").read_text(), "EXT-X-STREAM-INF")
    tall = [about for about in variants if about["RESOLUTION"] == "3840x2160"]
    # High 5.1 (0x33), HEVC Main 5.0 (150), AV1 Main 5.0 (12): the lowest levels that have pictures of that size.
    assert {about["CODECS"].partition(",")[0] for about in tall} == {"avc1.640033", "hvc1.1.6.L150.90", "av01.0.12M.08"}
    assert {about["RESOLUTION"] for about in variants} >= {"3840x2160", "2560x1440", "1920x1080"}
    cut = below_ceiling((made.folder / "master.m3u8").read_text(), 1080)
    assert {about["RESOLUTION"] for about in attributes(cut, "EXT-X-STREAM-INF")}.isdisjoint({"3840x2160", "2560x1440"})
