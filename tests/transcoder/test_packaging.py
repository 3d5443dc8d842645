"""What is made beside the plain ladder, looked at by a real decoder: loudness, 5.1, DASH, frame rates, deinterlacing, HDR."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.process import run_tool
from edge.hls.playlist_filter import manifest_below_ceiling
from tests.transcoder.sources import FAST, Made, decode_warnings, encode_locally, ffmpeg, film, make, picture, sound
from transcoder.loudness import PEAK_DBTP, TARGET_LUFS, Loudness, read_summaries
from transcoder.verify import verify

MPD = "{urn:mpeg:dash:schema:mpd:2011}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


async def made_of(path: Path, work: Path) -> Made:
    """A generation that passes every check."""
    made = await encode_locally(path, work)
    verify(made.folder, made.plan.duration, made.source.duration_s)
    assert await decode_warnings(made.folder) == ""
    return made


def said(*arguments: str | Path) -> str:
    """What ffmpeg tells at the level of information."""
    done = run_tool([ffmpeg(), "-nostdin", "-hide_banner", *arguments], timeout_s=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def loudness_of(path: Path) -> Loudness:
    (found,) = read_summaries(
        said("-i", path, "-map", "0:a:0", "-af", "ebur128=framelog=quiet:peak=true", "-f", "null", "-")
    )
    return found


@pytest.mark.parametrize("volume_db", [-12, 14], ids=["quiet", "loud"])
async def test_sound_is_brought_to_one_loudness(volume_db: int, folder: Path, tmp_path: Path) -> None:
    path = make(folder / f"sound{volume_db}.wav", *sound(997, 6), "-af", f"volume={volume_db}dB")
    before = loudness_of(path)
    assert abs(before.integrated_lufs - TARGET_LUFS) > 3
    made = await made_of(path, tmp_path)
    after = loudness_of(made.folder / "audio/0-und/playlist.m3u8")
    assert after.integrated_lufs == pytest.approx(TARGET_LUFS, abs=0.7)
    assert after.peak_dbtp <= PEAK_DBTP + 0.3


def test_the_gain_never_lifts_a_peak_above_the_limit_nor_noise_out_of_silence() -> None:
    assert Loudness(-24.0, -10.0).gain_db == 6.0
    assert Loudness(-24.0, -3.0).gain_db == 2.0
    assert Loudness(-10.0, 0.5).gain_db == -8.0
    assert Loudness(-70.0, -69.0).gain_db == 0.0
    assert Loudness(float("-inf"), float("-inf")).gain_db == 0.0
    assert read_summaries("no summary") == []
    (silent,) = read_summaries("    I:         -70.0 LUFS\n  True peak:\n    Peak:       -inf dBFS")
    assert silent.gain_db == 0.0


@given(st.floats(-100, 10), st.floats(-100, 20))
def test_the_gain_is_bounded(integrated: float, peak: float) -> None:
    gain = Loudness(integrated, peak).gain_db
    assert -30 <= gain <= 20
    assert gain == 0 or peak + gain <= PEAK_DBTP + 0.01 or gain == -30


async def test_surround_is_kept_beside_stereo(folder: Path, tmp_path: Path) -> None:
    """A tone in the centre alone stays in the centre alone; the stereo mix has it on both sides."""
    path = make(
        folder / "surround.mkv", *picture(seconds=3), "-f", "lavfi", "-i", "sine=440:d=3,pan=5.1|FC=c0", *FAST, "-c:a", "flac",
    )  # fmt: skip
    made = await made_of(path, tmp_path)
    text = (made.folder / "master.m3u8").read_text()
    assert re.findall(r'CHANNELS="(\d)"', text) == ["2", "6"]
    assert 'NAME="Audio 1 (5.1)"' in text
    assert text.count("DEFAULT=YES") == 1
    levels = said(
        "-i", made.folder / "audio/1-und/playlist.m3u8", "-af", "astats=measure_overall=none", "-f", "null", "-"
    )
    rms = [float(v) if v != "-inf" else -200.0 for v in re.findall(r"RMS level dB: (\S+)", levels)]
    assert len(rms) == 6
    assert rms[2] == max(rms)
    assert all(level < rms[2] - 40 for n, level in enumerate(rms) if n != 2)
    levels = said(
        "-i", made.folder / "audio/0-und/playlist.m3u8", "-af", "astats=measure_overall=none", "-f", "null", "-"
    )
    left, right = (float(v) for v in re.findall(r"RMS level dB: (\S+)", levels))
    assert left == pytest.approx(right, abs=0.1)


@pytest.mark.parametrize("rest", ["0.5", "0.01"], ids=["steady", "with_a_bang"])
async def test_stereo_made_of_surround_is_as_loud_and_does_not_clip(rest: str, folder: Path, tmp_path: Path) -> None:
    """The same tone in every channel adds up to far more in two than any of them has."""
    tone = f"sin(997*2*PI*t)*if(between(t,1,1.2),0.6,{rest})"
    six = "|".join([tone, tone, tone, "0", tone, tone])
    path = make(
        folder / f"all-{rest}.mkv", "-f", "lavfi", "-i", f"aevalsrc='{six}':s=48000:c=5.1:d=6", "-c:a", "flac",
    )  # fmt: skip
    made = await made_of(path, tmp_path)
    found = [loudness_of(made.folder / f"audio/{number}-und/playlist.m3u8") for number in (0, 1)]
    # An encoder rounds peaks a little.
    assert all(one.peak_dbtp <= PEAK_DBTP + 0.7 for one in found)
    if rest == "0.5":
        assert [one.integrated_lufs for one in found] == pytest.approx([TARGET_LUFS] * 2, abs=0.7)


async def test_sound_alone_in_two_languages_is_sound(folder: Path, tmp_path: Path) -> None:
    """Of which one is much heavier: the one variant's rate is the heaviest's, not the sum."""
    path = make(
        folder / "languages.mka", *sound(440, 6), "-f", "lavfi", "-i", "anoisesrc=d=6:a=0.3", "-map", "0", "-map", "1", "-c:a", "flac",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger",
    )  # fmt: skip
    made = await made_of(path, tmp_path)
    text = (made.folder / "master.m3u8").read_text()
    assert re.findall(r'TYPE=AUDIO,.*?LANGUAGE="(\w+)",DEFAULT=(\w+)', text) == [("en", "YES"), ("de", "NO")]
    heaviest = max(one.bandwidth_bps or 0 for one in made.generation.renditions)
    assert re.findall(r"#EXT-X-STREAM-INF:BANDWIDTH=(\d+)", text) == [str(heaviest)]


async def test_captions_within_the_pictures_are_left_out_as_the_playlist_says(folder: Path, tmp_path: Path) -> None:
    """CEA-608 in a message beside each picture (ATSC A/53): it would be out of order after an encoder has moved pictures."""
    message = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x2c\xff\x80"
    unit = b"\0\0\0\1\x06\x04" + bytes([len(message)]) + message + b"\x80"
    plain = make(
        folder / "plain.264", *picture(seconds=1), *FAST, "-x264-params", "slices=1:sliced-threads=0", "-f", "h264"
    )
    bare = folder / "captioned.264"
    bare.write_bytes(
        re.sub(rb"\x00\x00\x00?\x01(?=[\x41\x65\x01\x61])", lambda start: unit + start[0], plain.read_bytes())
    )
    path = make(folder / "captioned.mkv", "-r", "25", "-i", str(bare), "-c", "copy")
    captions = "closed captions"
    assert captions.lower() in said("-i", path, "-vf", "showinfo", "-f", "null", "-").lower()
    made = await made_of(path, tmp_path)
    told = said("-i", made.folder / "video/180p/playlist.m3u8", "-vf", "showinfo", "-f", "null", "-")
    assert captions.lower() not in told.lower()


async def test_the_dash_manifest_plays_the_same_segments(folder: Path, tmp_path: Path) -> None:
    words = folder / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:02,000\nHello\n\n2\n00:00:06,000 --> 00:00:08,000\nBye\n")
    path = make(
        folder / "dash.mkv", *picture("640x360", "30000/1001", 9), *sound(440, 9), *sound(880, 9), "-i", str(words), "-map", "0", "-map", "1",
        "-map", "2", "-map", "3", *FAST, "-c:a", "aac", "-c:s", "srt", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger",
    )  # fmt: skip
    made = await made_of(path, tmp_path)
    text = (made.folder / "manifest.mpd").read_text()
    root = ElementTree.fromstring(text)
    segments = set()
    for template in root.iter(f"{MPD}SegmentTemplate"):
        entries = list(template.iter(f"{MPD}S"))
        count = sum(1 + int(s.get("r", "0")) for s in entries)
        total = sum((1 + int(s.get("r", "0"))) * int(s.attrib["d"]) for s in entries)
        assert abs(total / int(template.attrib["timescale"]) - float(made.plan.duration)) < 0.025
        segments |= {template.attrib["media"].replace("$Number$", str(number)) for number in range(count)}
        assert (made.folder / template.attrib["initialization"]).is_file()
    assert segments == {str(path.relative_to(made.folder)) for path in made.folder.rglob("*.m4s")}
    whole = next(found.text for found in root.iter(f"{MPD}BaseURL"))
    assert (made.folder / str(whole)).read_text().count("-->") == 2
    assert [s.get("lang") for s in root.iter(f"{MPD}AdaptationSet") if s.get("contentType") == "audio"] == ["en", "de"]
    heights = [int(r.attrib["height"]) for r in root.iter(f"{MPD}Representation") if "height" in r.attrib]
    assert heights == [360, 240]
    # A decoder that has never seen our playlists.
    shown = said(
        "-allowed_extensions",
        "ALL",
        "-i",
        made.folder / "manifest.mpd",
        "-map",
        "0:v:0",
        "-map",
        "0:a:0",
        "-vf",
        "showinfo",
        "-f",
        "null",
        "-",
    )
    assert "error" not in shown.lower()
    assert len(re.findall(r"pts_time:", shown)) == made.plan.grid.frames  # type: ignore[union-attr]  # it has a picture


async def test_a_ceiling_cuts_the_dash_manifest_too(folder: Path, tmp_path: Path) -> None:
    made = await made_of(film(folder / "tall.mp4", 1, size="640x360"), tmp_path)
    text = (made.folder / "manifest.mpd").read_text()
    cut = manifest_below_ceiling(text, 240)
    assert re.findall(r'height="(\d+)"', cut) == ["240"]
    ElementTree.fromstring(cut)
    assert re.findall(r'height="(\d+)"', manifest_below_ceiling(text, 1)) == ["240"]
    assert manifest_below_ceiling(text, 360) == text


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        *(("24000/1001", "23.976"), ("24", "24.000"), ("30", "30.000"), ("48", "48.000"), ("50", "50.000")),
        *(("60000/1001", "59.940"), ("60", "60.000"), ("120", "60.000"), ("15", "15.000"), ("5", "10.000")),
    ],
)
async def test_frame_rates_up_to_sixty_are_kept(rate: str, shown: str, folder: Path, tmp_path: Path) -> None:
    path = make(folder / f"rate-{rate.replace('/', '-')}.mp4", *picture("64x36", rate, 3), *FAST)
    made = await made_of(path, tmp_path)
    assert f"FRAME-RATE={shown}" in (made.folder / "master.m3u8").read_text()
    assert made.plan.grid is not None
    info = said("-i", made.folder / "master.m3u8", "-map", "0:v:0", "-vf", "showinfo", "-f", "null", "-")
    assert len(re.findall(r"pts_time:", info)) == made.plan.grid.frames == round(3 * made.plan.grid.rate)


@pytest.mark.parametrize("first", ["top", "bottom"])
async def test_combing_is_gone(first: str, folder: Path, tmp_path: Path) -> None:
    """Fields of a fast movement woven together: what a detector finds in the source, it does not find in the result."""
    order = f"{first[0]}ff"
    path = make(
        folder / f"combed-{order}.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=50:d=2", "-vf",
        f"tinterlace=interleave_{first},fieldorder={order}", *FAST, "-flags", "+ildct+ilme", "-x264opts", f"{order}=1",
    )  # fmt: skip

    def combed(target: Path) -> int:
        found = re.findall(
            r"Multi frame detection: TFF:\s*(\d+) BFF:\s*(\d+)",
            said("-i", target, "-map", "0:v:0", "-vf", "idet", "-f", "null", "-"),
        )
        return sum(int(n) for n in found[-1])

    assert combed(path) > 40
    made = await made_of(path, tmp_path)
    assert combed(made.folder / "master.m3u8") <= 5


async def test_high_dynamic_range_is_mapped_not_clipped(folder: Path, tmp_path: Path) -> None:
    """A PQ grey of 100 cd/m2, SDR's white, must come out bright; shown untouched it would be a middle grey."""
    white = "format=yuv420p10le,lutyuv=y=509:u=512:v=512"
    path = make(
        folder / "pq.mkv", "-f", "lavfi", "-i", "color=gray:s=128x72:r=25:d=1", "-vf", white, "-c:v", "libx265", "-preset", "ultrafast",
        "-x265-params", "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited",
    )  # fmt: skip
    made = await made_of(path, tmp_path)
    found = said(
        "-i",
        made.folder / "master.m3u8",
        "-map",
        "0:v:0",
        "-vf",
        "signalstats,metadata=print:key=lavfi.signalstats.YAVG",
        "-f",
        "null",
        "-",
    )
    luma = [float(v) for v in re.findall(r"YAVG=([\d.]+)", found)]
    assert 135 < luma[-1] < 235
