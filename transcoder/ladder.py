"""Decides which renditions a source gets: sizes, bit-rate ceilings and the time grid all of them share. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import msgspec

from transcoder.codecs import BASE, FACTS, X264_CRF, Codec, VideoRange, crf_like, sort_codecs
from transcoder.source import Source, VideoTrack

LINES = (2160, 1440, 1080, 720, 480, 360, 240)
USUAL_TOP = 1080
"""Above it a ladder costs two to six times as much to encode and to keep: only where an installation asks for it."""
AUDIO_RATE_HZ = 48_000
AUDIO_FRAME_SAMPLES = 1024
AUDIO_BPS = 128_000
SURROUND_BPS = 384_000
SURROUND_CHANNELS = 6
MAX_FRAME_RATE = Fraction(60)
MIN_FRAME_RATE = Fraction(10)
GOP_S = 2
GOPS_PER_SEGMENT = 2
THUMBNAIL_LONG_SIDE_PX = 160
THUMBNAIL_COLUMNS = 10
MAX_THUMBNAILS = 100
MAX_CHUNKS = 200

_USUAL_RATES = tuple(
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1))
)
# 1080p30 at 5.2 Mbit/s; smaller pictures need more bits for each pixel (the exponent fits Apple's published ladder).
_TOP_BPS = 5_200_000
_TOP_PIXELS = 1920 * 1080
_RATE_EXPONENT = 0.78
# A rung nearer than this to the one above costs storage and switches without being seen.
_NEAREST_RUNG = 0.87
_LEAST_BPS = 100_000


@dataclass(frozen=True, slots=True)
class Rung:
    """One video rendition. `lines` is its short side, which names it: a phone's upright 1080x1920 is 1080p."""

    lines: int
    width: int
    height: int
    max_bps: int
    crf: int = X264_CRF
    codec: Codec = BASE
    range: VideoRange = "sdr"

    @property
    def name(self) -> str:
        """Its folder: `1080p`, and `1080p-hevc` beside it."""
        return f"{self.lines}p" if self.codec == BASE else f"{self.lines}p-{self.codec}"


class Tuned(msgspec.Struct, frozen=True):
    """What was measured to be right for one size of one title, in x264's terms."""

    lines: int
    crf: int
    max_bps: int


class Wishes(msgspec.Struct, frozen=True):
    """What a job asks of its ladder: codecs beside H.264, sizes and rates other than the usual ones, its largest short side."""

    codecs: tuple[Codec, ...] = (BASE,)
    tuned: tuple[Tuned, ...] = ()
    top: int = USUAL_TOP


PLAIN = Wishes()


@dataclass(frozen=True, slots=True)
class Grid:
    """The picture's time line: `frames` at a constant `rate`, in closed groups of `gop` frames."""

    rate: Fraction
    frames: int
    gop: int

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.frames / self.rate

    @property
    def segment(self) -> Fraction:
        """Seconds of a whole segment."""
        return GOPS_PER_SEGMENT * self.gop / self.rate

    @property
    def segment_count(self) -> int:
        """How many segments there will be."""
        return -(-self.frames // (self.gop * GOPS_PER_SEGMENT))


@dataclass(frozen=True, slots=True)
class Sprite:
    """The sheet of thumbnails: `count` pictures, one every `every` frames (whole groups), `columns` to a row."""

    count: int
    every: int
    columns: int
    width: int
    height: int

    @property
    def rows(self) -> int:
        """Rows of the sheet."""
        return -(-self.count // self.columns)


@dataclass(frozen=True, slots=True)
class Sound:
    """One sound rendition, of the source's track with that number: stereo, or 5.1 beside it."""

    track: int
    channels: int

    @property
    def bps(self) -> int:
        """Bits per second."""
        return AUDIO_BPS if self.channels == 2 else SURROUND_BPS


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the grid that is encoded on its own: `frames` from `first` on, a whole number of segments."""

    first: int
    frames: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the encoder makes from one source: `rungs` of H.264, then of each other codec, each from the largest downwards.

    `sounds`: the first of each language in stereo, 5.1 after all of them.
    """

    rungs: tuple[Rung, ...]
    grid: Grid | None
    sprite: Sprite | None
    audio_samples: int
    sounds: tuple[Sound, ...] = ()

    @property
    def base(self) -> tuple[Rung, ...]:
        """The H.264 ladder, which every device plays."""
        return tuple(rung for rung in self.rungs if rung.codec == BASE)

    @property
    def duration(self) -> Fraction:
        """Seconds that every rendition covers."""
        return self.grid.duration if self.grid else Fraction(self.audio_samples, AUDIO_RATE_HZ)

    @property
    def segment(self) -> Fraction:
        """Seconds of a whole segment, in every rendition."""
        return self.grid.segment if self.grid else Fraction(GOP_S * GOPS_PER_SEGMENT)


def plan(source: Source, wishes: Wishes = PLAIN) -> Plan:
    """What to make of `source`."""
    if source.video is None:
        samples = max(AUDIO_FRAME_SAMPLES, round(source.duration_s * AUDIO_RATE_HZ))
        return Plan((), None, None, samples, decide_sounds(source))
    grid = decide_grid(source.video, source.duration_s)
    samples = round(grid.duration * AUDIO_RATE_HZ)
    base = tune(decide_rungs(*source.video.shown_size, grid.rate, wishes.top), wishes.tuned)
    rungs = [in_codec(rung, codec, source.video.transfer) for codec in sort_codecs(wishes.codecs) for rung in base]
    return Plan(tuple(rungs), grid, decide_sprite(base[0], grid), samples, decide_sounds(source))


def tune(rungs: tuple[Rung, ...], tuned: tuple[Tuned, ...]) -> tuple[Rung, ...]:
    """The rungs that `tuned` kept, with its qualities and rates; all of them where it says nothing."""
    found = {about.lines: about for about in tuned}
    kept = tuple(
        replace(rung, crf=found[rung.lines].crf, max_bps=min(rung.max_bps, found[rung.lines].max_bps))
        for rung in rungs
        if rung.lines in found
    )
    return kept or rungs


def in_codec(rung: Rung, codec: Codec, transfer: VideoRange) -> Rung:
    """An H.264 rung in another codec, which also keeps a high dynamic range; H.264 is for who can show none."""
    if codec == BASE:
        return rung
    max_bps = max(_LEAST_BPS, int(rung.max_bps * FACTS[codec].share))
    return replace(rung, codec=codec, max_bps=max_bps, crf=crf_like(codec, rung.crf), range=transfer)


def decide_sounds(source: Source) -> tuple[Sound, ...]:
    """Stereo of every track, which every device plays; 5.1 of those that have it."""
    stereo = [Sound(number, 2) for number in range(len(source.audio))]
    surround = [
        Sound(number, SURROUND_CHANNELS)
        for number, track in enumerate(source.audio)
        if track.channels >= SURROUND_CHANNELS
    ]
    return (*stereo, *surround)


def decide_chunks(plan: Plan, chunk_s: int) -> tuple[Chunk, ...]:
    """Chunks of about `chunk_s` seconds, each of whole segments; none when the film is not worth cutting (or 0 is asked)."""
    if plan.grid is None or chunk_s <= 0 or plan.grid.duration < 2 * chunk_s:
        return ()
    segment = plan.grid.gop * GOPS_PER_SEGMENT
    # Rows and messages have a cost too: a film of a day gets longer chunks, not thousands.
    length = max(Fraction(chunk_s), plan.grid.duration / MAX_CHUNKS)
    frames = max(1, round(length / plan.grid.segment)) * segment
    firsts = list(range(0, plan.grid.frames, frames))
    if len(firsts) > 1 and plan.grid.frames - firsts[-1] < frames // 2:
        firsts.pop()
    ends = [*firsts[1:], plan.grid.frames]
    return tuple(Chunk(first, end - first) for first, end in zip(firsts, ends, strict=True))


def decide_rate(frame_rate: tuple[int, int]) -> Fraction:
    """A constant frame rate for the source's average one: the usual rate within 2 %, never above 60 nor below 10."""
    num, den = frame_rate
    rate = Fraction(num, den) if num > 0 and den > 0 else Fraction(25)
    while rate > MAX_FRAME_RATE * Fraction(101, 100):
        rate /= 2
    nearest = min(_USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(nearest - rate) <= rate / 50:
        return nearest
    if rate < MIN_FRAME_RATE:
        # Each picture is shown several times, so that a group of pictures still lasts two seconds.
        rate *= -(-MIN_FRAME_RATE // max(rate, Fraction(1, 100)))
    return min(max(rate.limit_denominator(1000), MIN_FRAME_RATE), MAX_FRAME_RATE)


def decide_grid(video: VideoTrack, duration_s: float) -> Grid:
    """The time grid of a picture that lasts `duration_s`."""
    rate = decide_rate(video.frame_rate)
    return Grid(rate, max(1, round(duration_s * rate)), max(1, round(GOP_S * rate)))


def decide_rungs(width: int, height: int, rate: Fraction, most: int = USUAL_TOP) -> tuple[Rung, ...]:
    """Renditions from the largest to the smallest: even sizes, the source's shape, never larger than the source nor than `most` lines."""
    short = min(width, height)
    top = min(short - short % 2 or 2, most)
    chosen = [top]
    for lines in LINES:
        if lines < top and lines <= chosen[-1] * _NEAREST_RUNG:
            chosen.append(lines)
    return tuple(_rung(width, height, lines, rate) for lines in chosen)


def _rung(width: int, height: int, lines: int, rate: Fraction) -> Rung:
    scaled_width, scaled_height = (
        (_even(Fraction(width * lines, height), width), lines)
        if width >= height
        else (lines, _even(Fraction(height * lines, width), height))
    )
    pixels = scaled_width * scaled_height
    smoothness = 1.4 if rate > 35 else 1.0
    max_bps = int(_TOP_BPS * (pixels / _TOP_PIXELS) ** _RATE_EXPONENT * smoothness)
    return Rung(lines, scaled_width, scaled_height, max(_LEAST_BPS, max_bps))


def _even(value: Fraction, most: int) -> int:
    return max(2, min(2 * round(value / 2), most - most % 2))


def decide_sprite(top: Rung, grid: Grid) -> Sprite:
    """At most a hundred thumbnails, of key frames, so at least about two seconds apart."""
    every = grid.gop * max(1, -(-grid.frames // (MAX_THUMBNAILS * grid.gop)))
    count = -(-grid.frames // every)
    scale = Fraction(THUMBNAIL_LONG_SIDE_PX, max(top.width, top.height))
    width, height = (
        _even(top.width * scale, THUMBNAIL_LONG_SIDE_PX),
        _even(top.height * scale, THUMBNAIL_LONG_SIDE_PX),
    )
    return Sprite(count, every, min(count, THUMBNAIL_COLUMNS), width, height)
