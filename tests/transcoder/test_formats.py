"""What people have on their disks: camcorders, old recorders and encoders, broadcasters' files, and sounds in their own containers."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from core import errors
from core.errors import Refusal
from tests.transcoder.sources import decode_warnings, encode_locally, make, picture, sound
from transcoder.ladder import decide_rate
from transcoder.probe import probe
from transcoder.sniff import check_length
from transcoder.verify import verify

PAL = ("-s", "720x576", "-pix_fmt", "yuv420p")
PCM = ("-c:a", "pcm_s16le")
FILMS: dict[str, tuple[str, ...]] = {
    "camcorder.dv": ("-target", "pal-dv"),
    "camcorder.avi": ("-c:v", "dvvideo", *PAL, *PCM),
    "windows.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "windows.asf": ("-c:v", "wmv1", "-c:a", "wmav1"),
    "broadcaster.mxf": ("-c:v", "mpeg2video", *PCM, "-ar", "48000"),
    "animation.mov": ("-c:v", "qtrle", *PCM),
    "frames.mov": ("-c:v", "png", *PCM),
    "capture.avi": ("-c:v", "huffyuv", *PCM),
    "lossless.avi": ("-c:v", "utvideo", *PCM),
    "uncompressed.avi": ("-c:v", "rawvideo", "-pix_fmt", "yuv420p", *PCM),
    "old.mov": ("-c:v", "cinepak", "-s", "80x60", "-c:a", "adpcm_ima_qt"),
}
SOUNDS: dict[str, tuple[str, ...]] = {
    "voice.caf": PCM,
    "voice.amr": ("-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "long.w64": PCM,
    "old.au": ("-c:a", "pcm_s16be"),
    "disc.ac3": ("-c:a", "ac3"),
    "disc.eac3": ("-c:a", "eac3"),
    "disc.dts": ("-c:a", "dca", "-strict", "-2"),
    "windows.wma": ("-c:a", "wmav2"),
}


def film_of(target: Path, seconds: float = 2) -> Path:
    """A film in the container and the codecs that its name stands for."""
    return make(target, *picture(seconds=seconds), *sound(seconds=seconds), *FILMS[target.name])


@pytest.mark.parametrize("name", sorted(FILMS))
async def test_a_film_is_taken_as_it_was_recorded(name: str, tmp_path: Path) -> None:
    source = await probe(film_of(tmp_path / name))
    assert source.video is not None
    assert decide_rate(source.video.frame_rate) == 25
    assert len(source.audio) == 1
    assert source.left_out == ()
    assert abs(source.duration_s - 2) < 0.15


@pytest.mark.parametrize("name", sorted(SOUNDS))
async def test_a_sound_is_taken_as_it_was_recorded(name: str, tmp_path: Path) -> None:
    source = await probe(make(tmp_path / name, *sound(seconds=2), *SOUNDS[name]))
    assert source.video is None
    assert len(source.audio) == 1
    assert abs(source.duration_s - 2) < 0.15


@pytest.mark.parametrize("name", ["camcorder.dv", "windows.wmv", "broadcaster.mxf"])
async def test_it_becomes_a_title_that_plays(name: str, tmp_path: Path) -> None:
    made = await encode_locally(film_of(tmp_path / name), tmp_path / "work")
    assert verify(made.folder, made.plan.duration) > 0
    assert await decode_warnings(made.folder) == ""
    assert made.generation.has_video
    assert made.generation.has_audio


async def test_an_animation_becomes_a_silent_film(tmp_path: Path) -> None:
    made = await encode_locally(make(tmp_path / "moving.gif", *picture(seconds=2)), tmp_path / "work")
    assert verify(made.folder, made.plan.duration) > 0
    assert await decode_warnings(made.folder) == ""
    assert abs(float(made.plan.duration) - 2) < 0.1
    assert not made.generation.has_audio


async def test_a_picture_that_does_not_move_is_no_film(tmp_path: Path) -> None:
    path = make(tmp_path / "still.gif", *picture(seconds=1), "-frames:v", "1")
    with pytest.raises(Refusal) as refused:
        await probe(path)
    assert refused.value.code is errors.NO_STREAMS


@pytest.mark.parametrize("name", ["windows.wmv", "windows.wma", "broadcaster.mxf", "voice.caf", "long.w64", "old.au"])
async def test_what_states_its_length_and_lost_its_end_is_refused_as_cut_off(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name in FILMS:
        film_of(path, 4)
    else:
        make(path, *sound(seconds=4), *SOUNDS[name])
    assert (await probe(path)).duration_s > 3.5
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(Refusal) as refused:
        await probe(path)
    assert refused.value.code is errors.TRUNCATED_MEDIA


def test_a_length_that_is_not_known_is_no_loss(tmp_path: Path) -> None:
    """Recorders that could not go back leave it open; a broadcast in ASF says that it is one."""
    caf = b"caff\0\1\0\0desc" + struct.pack(">q", 32) + bytes(32) + b"data" + struct.pack(">q", -1) + bytes(64)
    w64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + struct.pack("<q", -1) + bytes(64)
    for data in (caf, w64):
        path = tmp_path / "open"
        path.write_bytes(data)
        with path.open("rb") as file:
            assert check_length(file, len(data)) is None
