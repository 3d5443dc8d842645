"""The demo's films: synthesised by ffmpeg, each with a running timecode in the picture and tones to hear. Pure argv."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FULL_LINES = 720
"""Of the films as they are meant to be seen."""

# Colour that hardly moves is drawn small: at the full 1280x720 these two titles took 33 s of processor time, and take 7.
_GRADIENT = "gradients=size=320x180:rate=25:{}:type={},scale=size={{size}}:flags=bicubic"
# The top left corner of the generator `testsrc2` shows time and frame number, as large in any size of 360 lines and more; no
# font is needed on the machine.
_TIMECODE = "testsrc2=size=640x360:rate={rate}:duration={seconds},crop=100:36:0:0,scale={width}:{height}:flags=neighbor"

CAPTIONS = {
    "eng": (
        "English",
        (
            "A glider leaves the upper left.",
            "It will cross the field in two hundred steps.",
            "Still lifes do not move. That is what they are.",
            "Two blocks, and nothing left to decide.",
            "The rule is the same for everyone.",
        ),
    ),
    "deu": (
        "Deutsch",
        (
            "Ein Gleiter verlässt die linke obere Ecke.",
            "Er quert das Feld in zweihundert Schritten.",
            "Stillleben bewegen sich nicht. Darum heißen sie so.",
            "Zwei Blöcke, und nichts mehr zu entscheiden.",
            "Die Regel ist für alle dieselbe.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One demo title: what ffmpeg draws and plays, and how it stands on the shelf. `picture` leaves `{size}` to be filled in."""

    slug: str
    title: str
    description: str
    content_type: str
    genre: str
    seconds: int
    tones: str
    picture: str | None = None
    rate: int = 25
    is_free: bool = False
    captioned: bool = False
    series: str | None = None
    price: str | None = None


def _tones(*hertz: float, beat_s: float) -> str:
    """A mono tone that steps through `hertz`, a note every `beat_s`, each with a soft attack and decay."""
    count = len(hertz)
    note = f"mod(floor(t/{beat_s})\\,{count})"
    pitch = "+".join(f"eq({note}\\,{index})*{value}" for index, value in enumerate(hertz))
    swell = f"sin(PI*mod(t\\,{beat_s})/{beat_s})"
    return f"0.22*{swell}*sin(2*PI*({pitch})*t)"


SCENES = (
    Scene(
        "test-card", "Test Card in Motion", "Bars, a wandering square and the time to the millisecond: everything a decoder can get wrong.",
        "MOVIE", "Instruments", 60, _tones(220, 277.18, 329.63, 440, beat_s=1.0), "testsrc2=size={size}:rate=30", 30, is_free=True,
    ),
    Scene(
        "seahorse-valley", "Into the Seahorse Valley", "One continuous descent into the edge of the Mandelbrot set.",
        "MOVIE", "Mathematics", 40, _tones(110, 164.81, 130.81, 196, beat_s=2.0),
        "mandelbrot=size=640x360:rate=24:maxiter=400:end_scale=0.002:end_pts=960,scale=size={size}", 24, price="4.90",
    ),
    Scene(
        "still-lifes", "Still Lifes and Gliders", "Conway's game on a wide field, with subtitles in two languages.",
        "MOVIE", "Mathematics", 30, _tones(523.25, 392, 440, 349.23, beat_s=0.5),
        "life=size=320x180:rate=25:mold=24:life_color=#7ee0ff:death_color=#18324a:mold_color=#0d1b2a:ratio=0.12:seed=7,"
        "scale=size={size}:flags=neighbor",
        price="2.90", captioned=True,
    ),
    Scene(
        "slow-light-1", "Slow Light: Dawn", "The first of two studies in colour that hardly moves.",
        "EPISODE", "Studies", 20, _tones(196, 246.94, 293.66, beat_s=1.5),
        _GRADIENT.format("n=5:speed=0.02:seed=11", "spiral"),
        series="Slow Light",
    ),
    Scene(
        "slow-light-2", "Slow Light: Dusk", "The second: the same light, leaving.",
        "EPISODE", "Studies", 20, _tones(293.66, 246.94, 196, beat_s=1.5),
        _GRADIENT.format("n=4:speed=0.015:seed=29", "radial"),
        series="Slow Light",
    ),
    Scene(
        "five-tones", "Five Tones for an Empty Room", "Music without a picture: a pentatonic line that takes its time.",
        "MUSIC", "Music", 45, _tones(220, 261.63, 293.66, 329.63, 392, beat_s=0.75), is_free=True,
    ),
)  # fmt: skip


def subtitles(language: str, seconds: int) -> str:
    """The scene's captions in SubRip, spread over its length."""
    lines = CAPTIONS[language][1]
    each = seconds / len(lines)
    cues = [
        f"{number}\n{_srt_time((number - 1) * each + 0.5)} --> {_srt_time(number * each - 0.5)}\n{line}\n"
        for number, line in enumerate(lines, 1)
    ]
    return "\n".join(cues)


def _srt_time(seconds: float) -> str:
    whole_ms = round(seconds * 1000)
    return f"{whole_ms // 3_600_000:02}:{whole_ms // 60_000 % 60:02}:{whole_ms // 1000 % 60:02},{whole_ms % 1000:03}"


def source_name(scene: Scene) -> str:
    """The file name of the scene's source."""
    return f"{scene.slug}.mkv" if scene.picture else f"{scene.slug}.flac"


def _even(number: float) -> int:
    return round(number / 2) * 2


def argv(scene: Scene, ffmpeg: Path, folder: Path, lines: int = FULL_LINES) -> list[str]:
    """The ffmpeg command that makes the scene's source in `folder`, `lines` high; captions lie there as `<slug>.<language>.srt`."""
    command = [str(ffmpeg), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"aevalsrc={scene.tones}:s=48000:d={scene.seconds}"]
    target = str(folder / source_name(scene))
    if scene.picture is None:
        return [*command, "-ac", "2", "-metadata", f"title={scene.title}", target]
    share = lines / FULL_LINES
    clock = {"rate": scene.rate, "seconds": scene.seconds, "width": _even(200 * share), "height": _even(72 * share)}
    command += ["-f", "lavfi", "-i", scene.picture.format(size=f"{_even(lines * 16 / 9)}x{_even(lines)}")]
    command += ["-f", "lavfi", "-i", _TIMECODE.format(**clock)]
    corner = f"x=W-w-{_even(40 * share)}:y={_even(36 * share)}"
    maps = ["-map", "[v]", "-map", "0:a"]
    if scene.captioned:
        for number, (language, (label, _)) in enumerate(CAPTIONS.items()):
            command += ["-i", str(folder / f"{scene.slug}.{language}.srt")]
            maps += [
                "-map",
                f"{3 + number}:s",
                f"-metadata:s:s:{number}",
                f"language={language}",
                f"-metadata:s:s:{number}",
                f"title={label}",
            ]
    return [
        *command, "-filter_complex", f"[1:v][2:v]overlay={corner},format=yuv420p[v]", *maps, "-t", str(scene.seconds),
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "17", "-c:a", "flac", "-ac", "2", "-c:s", "srt",
        "-metadata", f"title={scene.title}", "-metadata:s:a:0", "language=eng", target,
    ]  # fmt: skip
