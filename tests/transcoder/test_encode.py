"""Real encodes of small sources: all decode without a warning, start at zero and last as long as their source."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from core import errors
from core.errors import Refusal
from core.process import run_tool
from tests.transcoder.sources import (
    FAST,
    Made,
    decode_warnings,
    encode_locally,
    ffmpeg,
    film,
    frames_of,
    make,
    picture,
    sound,
)
from transcoder import encode, encoder, pieces
from transcoder.loudness import read_summaries
from transcoder.mp4 import read_track
from transcoder.unsound import Rule, Unsound
from transcoder.verify import verify


async def sound_result(made: Made) -> None:
    """What every generation must be."""
    assert verify(made.folder, made.plan.duration) > 0
    assert await decode_warnings(made.folder) == ""
    assert made.progress
    assert list(made.progress) == sorted(made.progress)


def master(made: Made) -> str:
    return (made.folder / "master.m3u8").read_text()


def playlist_seconds(path: Path) -> Fraction:
    return sum((Fraction(value) for value in re.findall(r"#EXTINF:([\d.]+),", path.read_text())), Fraction(0))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


async def test_a_film_becomes_an_aligned_ladder_with_sound_apart(folder: Path, tmp_path: Path) -> None:
    made = await encode_locally(film(folder / "film.mp4", 9, "30000/1001", "640x360"), tmp_path)
    await sound_result(made)
    text = master(made)
    assert re.findall(r"RESOLUTION=(\d+x\d+),FRAME-RATE=29.970", text) == ["640x360", "426x240"]
    assert 'CODECS="avc1.' in text
    assert text.count("#EXT-X-I-FRAME-STREAM-INF:") == 2
    cuts = [
        re.findall(r"#EXTINF:([\d.]+)", (made.folder / f"video/{n}p/playlist.m3u8").read_text()) for n in (360, 240)
    ]
    assert cuts[0] == cuts[1]
    assert cuts[0][:2] == ["4.004000", "4.004000"]
    audio = [
        Fraction(v) for v in re.findall(r"#EXTINF:([\d.]+)", (made.folder / "audio/0-und/playlist.m3u8").read_text())
    ]
    assert len(audio) == len(cuts[0])
    for number in range(len(audio)):
        drift = sum(audio[: number + 1], -sum((Fraction(v) for v in cuts[0][: number + 1]), Fraction(0)))
        assert abs(drift) <= Fraction(1024, 48_000)
    assert (made.folder / "poster.jpg").stat().st_size > 1000
    assert (made.folder / "thumbnails/sprite.vtt").read_text().count("-->") == 5


async def test_picture_and_sound_begin_at_zero_and_together(folder: Path, tmp_path: Path) -> None:
    """A flash and a beep one second in: players built on ffmpeg must show them at the same time, and at one second."""
    path = make(
        folder / "clap.mp4", "-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=4,drawbox=c=white:t=fill:enable='between(n,25,27)'",
        "-f", "lavfi", "-i", "aevalsrc='if(between(t,1,1.12),sin(2*PI*1000*t),0)':s=48000:d=4", *FAST, "-c:a", "aac", "-b:a", "192k",
    )  # fmt: skip
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    shown = encoder.run(
        [str(ffmpeg()), "-nostdin", "-v", "info", "-i", str(made.folder / "master.m3u8"), "-map", "0:v:0", "-map", "0:a:0", "-vf",
         "blackdetect=d=0.1:pix_th=0.5", "-af", "silencedetect=n=-30dB:d=0.2", "-f", "null", "-"], 60,
        reads=[made.folder], writes=made.folder,
    )  # fmt: skip
    said = await shown
    black = [float(v) for v in re.findall(r"black_end:([\d.]+)", said)]
    quiet = [float(v) for v in re.findall(r"silence_end: ([\d.]+)", said)]
    assert abs(black[0] - 1.0) <= 0.001
    assert abs(quiet[0] - 1.0) <= 0.025
    info = frames_of(["-i", made.folder / "video/180p/playlist.m3u8"])
    times = [float(t) for t in re.findall(r"pts_time:([\d.]+)", info)]
    assert times[0] == 0
    assert len(times) == 100


async def test_key_frames_can_be_shown_alone(folder: Path, tmp_path: Path) -> None:
    made = await encode_locally(film(folder / "film2.mp4", 5), tmp_path)
    text = (made.folder / "video/180p/iframes.m3u8").read_text()
    entries = re.findall(r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\d+)@(\d+)\n(\S+)", text)
    assert [float(e[0]) for e in entries] == [2, 2, 1]
    init = (made.folder / "video/180p/init.mp4").read_bytes()
    for number, (_, length, offset, name) in enumerate(entries):
        data = (made.folder / "video/180p" / name).read_bytes()[int(offset) : int(offset) + int(length)]
        alone = tmp_path / f"alone-{number}.mp4"
        alone.write_bytes(init + data)
        info = frames_of(["-i", alone])
        assert len(re.findall(r"type:I", info)) == 1


async def test_languages_and_subtitles_become_choices(folder: Path, tmp_path: Path) -> None:
    words = folder / "words.srt"
    words.write_text(
        "1\n00:00:00,500 --> 00:00:02,000\nHello <i>there</i>\n\n2\n00:00:02,500 --> 00:00:02,900\nBye & thanks\n"
    )
    path = make(
        folder / "tracks.mkv", *picture(), *sound(440), *sound(880), "-i", str(words), "-map", "0", "-map", "1", "-map", "2", "-map", "3",
        *FAST, "-c:a", "aac", "-c:s", "srt", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger",
        "-metadata:s:s:0", "language=fre",
    )  # fmt: skip
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    text = master(made)
    assert 'TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",DEFAULT=YES' in text
    assert 'TYPE=AUDIO,GROUP-ID="audio",NAME="Deutsch",LANGUAGE="de",DEFAULT=NO' in text
    assert 'TYPE=SUBTITLES,GROUP-ID="text",NAME="Français",LANGUAGE="fr"' in text
    assert 'SUBTITLES="text"' in text
    assert playlist_seconds(made.folder / "subtitles/fr/playlist.m3u8") == 3
    first = (made.folder / "subtitles/fr/0.vtt").read_text()
    assert "00:00:00.500 --> 00:00:02.000\nHello <i>there</i>\n" in first


async def test_sound_alone_becomes_a_variant_of_its_own(folder: Path, tmp_path: Path) -> None:
    cover = make(folder / "cover.png", *picture("300x200", seconds=0.04), "-frames:v", "1")
    path = make(
        folder / "song.mp3", *sound(seconds=6), "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v",
        "attached_pic",
    )  # fmt: skip
    made = await encode_locally(path, tmp_path, language="de")
    await sound_result(made)
    assert not made.generation.has_video
    text = master(made)
    assert 'CODECS="mp4a.40.2"' in text
    assert text.splitlines()[-1] == "audio/0-de/playlist.m3u8"
    assert "RESOLUTION" not in text
    assert abs(float(playlist_seconds(made.folder / "audio/0-de/playlist.m3u8")) - made.source.duration_s) < 0.03
    assert made.generation.has_poster


async def test_a_silent_film_names_no_sound(folder: Path, tmp_path: Path) -> None:
    made = await encode_locally(make(folder / "silent.mp4", *picture(), *FAST), tmp_path)
    await sound_result(made)
    assert "AUDIO" not in master(made)
    assert "mp4a" not in master(made)


@pytest.mark.parametrize(
    ("size", "shown"),
    [("321x181", (320, 180)), ("130x98", (130, 98)), ("64x300", (64, 300))],
    ids=["odd", "small", "tall"],
)
async def test_odd_sizes_become_even(size: str, shown: tuple[int, int], folder: Path, tmp_path: Path) -> None:
    path = make(folder / f"odd-{size}.mkv", *picture(size, seconds=1), "-c:v", "ffv1")
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert (made.generation.width, made.generation.height) == shown


@pytest.mark.parametrize(("degrees", "shown"), [(90, (180, 320)), (180, (320, 180)), (270, (180, 320))])
async def test_a_turned_phone_film_is_shown_upright(
    degrees: int, shown: tuple[int, int], folder: Path, tmp_path: Path
) -> None:
    flat = film(folder / "flat.mp4", 2)
    path = make(folder / f"turned-{degrees}.mp4", "-display_rotation", str(degrees), "-i", str(flat), "-c", "copy")
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    init = read_track((made.folder / "video/180p/init.mp4").read_bytes())
    assert (init.width, init.height) == shown
    # Turned the right way: the wrong one, or a mirror's, would be nothing like what a player shows of the source.
    sources = ("-i", made.folder / "video/180p/playlist.m3u8", "-i", path)
    argv = [ffmpeg(), "-nostdin", "-v", "info", *sources, "-lavfi", "[0:v][1:v]psnr", "-f", "null", "-"]
    compared = run_tool(argv, timeout_s=60)
    found = re.findall(r"PSNR .*average:([\d.]+|inf)", compared.stderr)
    assert float(found[-1]) > 25


async def test_wide_pixels_become_square(folder: Path, tmp_path: Path) -> None:
    path = make(folder / "wide.mp4", *picture("180x144", seconds=1), "-vf", "setsar=64/45", *FAST)
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert (made.generation.width, made.generation.height) == (256, 144)


async def test_a_varying_frame_rate_becomes_constant(folder: Path, tmp_path: Path) -> None:
    """Pictures at 0, 1, 4, 9, ... thirtieths, as a phone in the dark would take them."""
    path = make(
        folder / "varying.mkv", *picture(rate="30", seconds=3), *sound(seconds=3), "-vf", "select='not(mod(n,1+mod(n,3)))'", "-fps_mode", "vfr",
        *FAST, "-c:a", "aac",
    )  # fmt: skip
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert abs(float(made.plan.duration) - 3) < 0.06
    # Its average is 15 a second: every other picture of what moves would be lost.
    assert made.plan.grid is not None
    assert (made.plan.grid.rate, made.plan.grid.gop) == (30, 60)
    assert "FRAME-RATE=30.000," in (made.folder / "master.m3u8").read_text()


async def test_interlaced_pictures_are_deinterlaced(folder: Path, tmp_path: Path) -> None:
    path = make(folder / "lines.mp4", *picture(seconds=1), *FAST, "-flags", "+ildct+ilme", "-x264opts", "tff=1")
    made = await encode_locally(path, tmp_path)
    assert made.source.video is not None
    assert made.source.video.is_interlaced
    await sound_result(made)


async def test_high_dynamic_range_becomes_ordinary(folder: Path, tmp_path: Path) -> None:
    path = make(
        folder / "hdr.mkv", *picture(seconds=1), "-vf", "format=yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
        "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
    )  # fmt: skip
    made = await encode_locally(path, tmp_path)
    assert made.source.video is not None
    assert made.source.video.is_hdr
    await sound_result(made)


@pytest.mark.parametrize("late", ["sound", "picture"])
async def test_a_track_that_begins_late_keeps_its_place(late: str, folder: Path, tmp_path: Path) -> None:
    on_time, shifted = (picture(), sound()) if late == "sound" else (sound(), picture())
    path = make(
        folder / f"late-{late}.mkv",
        *on_time,
        "-itsoffset",
        "0.7",
        *shifted,
        "-map",
        "0",
        "-map",
        "1",
        *FAST,
        "-c:a",
        "aac",
    )
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert abs(float(made.plan.duration) - 3.7) < 0.1


async def test_a_sound_shorter_than_its_picture_is_filled_with_silence(folder: Path, tmp_path: Path) -> None:
    path = make(folder / "short.mkv", *picture(seconds=4), *sound(seconds=1), *FAST, "-c:a", "aac")
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert abs(playlist_seconds(made.folder / "audio/0-und/playlist.m3u8") - 4) <= Fraction(1024, 48_000)


async def test_a_single_picture_is_a_very_short_film(folder: Path, tmp_path: Path) -> None:
    path = make(folder / "blink.mp4", *picture(seconds=0.04), *FAST)
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert made.plan.grid is not None
    assert made.plan.grid.frames == 1


async def test_a_film_that_is_mostly_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    data = bytearray(make(folder / "whole.mkv", *picture(seconds=6), *FAST, "-g", "10").read_bytes())
    for at in range(len(data) // 3, len(data), 60):
        data[at : at + 30] = b"\xaa" * 30
    path = folder / "damaged.mkv"
    path.write_bytes(data[: len(bytes(data))])
    with pytest.raises(Refusal) as refused:
        await encode_locally(path, tmp_path)
    assert refused.value.code in (errors.TRUNCATED_MEDIA, errors.NOT_MEDIA, errors.ENCODE_FAILED)


def test_arguments_hold_nothing_from_the_file_but_its_numbers(tmp_path: Path) -> None:
    """Languages, titles and codec names stay out of the argument list."""
    from transcoder.ladder import plan
    from transcoder.source import AudioTrack, Source, TextTrack, VideoTrack

    evil = "-i /etc/passwd"
    source = Source(
        evil,
        10.0,
        VideoTrack(0, evil, 320, 180),
        (AudioTrack(1, evil, 2, evil, evil),),
        (TextTrack(2, evil, evil, evil),),
    )
    for argv in (
        encode.pictures_argv(Path("ffmpeg"), tmp_path / "in", source, plan(source), tmp_path),
        encode.sounds_argv(Path("ffmpeg"), tmp_path / "in", source, plan(source), tmp_path, (0.0,)),
        encode.text_argv(Path("ffmpeg"), tmp_path / "in", source, tmp_path),
    ):
        assert not any("passwd" in part for part in argv)
        assert argv[argv.index("-protocol_whitelist") + 1] == "file"
        assert "-nostdin" in argv


async def test_a_size_that_changes_in_the_middle_is_scaled_to_one(folder: Path, tmp_path: Path) -> None:
    for number, size in enumerate(("320x180", "640x480")):
        make(folder / f"part-{number}.ts", *picture(size, seconds=2), *FAST)
    parts = folder / "parts.txt"
    parts.write_text("file part-0.ts\nfile part-1.ts\n")
    made = await encode_locally(make(folder / "changing.ts", "-f", "concat", "-i", str(parts), "-c", "copy"), tmp_path)
    await sound_result(made)
    assert (made.generation.width, made.generation.height) == (320, 180)
    assert abs(float(made.plan.duration) - 4) < 0.1


async def test_a_broadcast_whose_channels_change_is_heard_to_its_end(folder: Path, tmp_path: Path) -> None:
    """A film in 5.1 between advertisements in stereo."""
    parts = b""
    for number, (channels, hertz) in enumerate(((2, 440), (6, 880), (2, 440))):
        part = make(
            folder / f"part-{number}.ac3", *sound(hertz, 2), "-ac", str(channels), "-c:a", "ac3", "-b:a", "384k"
        )
        parts += part.read_bytes()
    whole = folder / "parts.ac3"
    whole.write_bytes(parts)
    pictures = make(folder / "six.mp4", *picture(seconds=6), *FAST)
    path = make(folder / "broadcast.ts", "-i", str(pictures), "-f", "ac3", "-i", str(whole), "-c", "copy")
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert [(track.channels, track.is_changing) for track in made.source.audio] == [(2, True)]
    heard = made.folder / "audio/0-und/playlist.m3u8"
    quiet = ["-i", heard, "-af", "silencedetect=n=-50dB:d=0.3", "-f", "null", "-"]
    assert "silence_start" not in run_tool([ffmpeg(), "-nostdin", *quiet], timeout_s=60).stderr


CHANGES = {
    "rate": ("-ar", "44100"),
    "channels": ("-ac", "1"),
}


def flash_and_beep(target: Path, *options: str) -> Path:
    """Two seconds with a flash and a beep one second in."""
    return make(
        target, "-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=2,drawbox=c=white:t=fill:enable='between(n,25,27)'",
        "-f", "lavfi", "-i", "aevalsrc='if(between(t,1,1.12),sin(2*PI*1000*t),0)|0':s=48000:d=2", *FAST, "-c:a", "aac", *options,
    )  # fmt: skip


@pytest.mark.parametrize("change", sorted(CHANGES))
async def test_a_sound_that_changes_on_the_way_stays_with_its_picture(
    change: str, folder: Path, tmp_path: Path
) -> None:
    """It was heard as long again after its change as the film had lasted until then: filters that fill begin anew at each."""
    path = folder / f"changes-{change}.ts"
    parts = [
        flash_and_beep(folder / f"{change}-{number}.ts", *options)
        for number, options in enumerate(((), CHANGES[change]))
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert made.plan.grid is not None
    assert made.plan.grid.rate == 25
    assert sorted(file.name for file in (tmp_path / "raw").iterdir() if file.suffix == ".mka") == []
    said = await encoder.run(
        [str(ffmpeg()), "-nostdin", "-v", "info", "-i", str(made.folder / "master.m3u8"), "-map", "0:v:0", "-map", "0:a:0", "-vf",
         "blackdetect=d=0.1:pix_th=0.5", "-af", "silencedetect=n=-30dB:d=0.2", "-f", "null", "-"], 60,
        reads=[made.folder], writes=made.folder,
    )  # fmt: skip
    flashes = [float(v) for v in re.findall(r"black_end:([\d.]+)", said)][:2]
    beeps = [float(v) for v in re.findall(r"silence_end: ([\d.]+)", said)][:2]
    assert len(flashes) == len(beeps) == 2
    # The encoder's priming, which a transport stream cannot take back, once at each beginning.
    assert all(abs(flash - beep) <= 0.08 for flash, beep in zip(flashes, beeps, strict=True)), (flashes, beeps)


async def test_a_sound_with_more_frames_than_its_length_takes_is_not_published(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its segments, by its time stamps, is as long as it should be; it is heard for half as long again."""
    path = folder / "unevened.ts"
    parts = [flash_and_beep(folder / f"unevened-{n}.ts", *options) for n, options in enumerate(((), ("-ac", "1")))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    # As if the change had not been noticed.
    monkeypatch.setattr(pieces, "read_summaries", lambda said: read_summaries(said)[-1:])
    made = await encode_locally(path, tmp_path)
    with pytest.raises(Unsound) as unsound:
        verify(made.folder, made.plan.duration)
    assert unsound.value.rule is Rule.CONTINUITY
    assert "audio/0-und" in str(unsound.value)


@pytest.mark.parametrize("second_at_s", [0, 3600], ids=["back", "ahead"])
async def test_two_recordings_in_one_file_are_one_film(second_at_s: int, folder: Path, tmp_path: Path) -> None:
    """Their time stamps jump where they were joined: nothing is lost, and nothing stands still for an hour."""
    data = b""
    for at_s in (0, second_at_s):
        part = [*picture(seconds=2), *sound(seconds=2), *FAST, "-c:a", "aac", "-output_ts_offset", str(at_s)]
        data += make(folder / f"recording-{at_s}.ts", *part).read_bytes()
    path = folder / f"joined-{second_at_s}.ts"
    path.write_bytes(data)
    made = await encode_locally(path, tmp_path)
    await sound_result(made)
    assert abs(float(made.plan.duration) - 4) < 0.1
    info = frames_of(["-i", made.folder / "video/180p/playlist.m3u8"])
    # The second half is the second recording, which is the first once more: not its last picture standing.
    checksums = re.findall(r" checksum:(\w+)", info)
    assert len(set(checksums[55:95])) > 20


async def test_progress_is_told_all_along(folder: Path, tmp_path: Path) -> None:
    """ffmpeg says nothing before each of its outputs has begun: none of them may wait for the end."""
    made = await encode_locally(film(folder / "minute.mp4", 60), tmp_path)
    assert made.progress[0] < 45
    assert len(made.progress) > 2
