"""What a source file holds: the records that the probe fills and everything after it reads. No effects."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import msgspec

from core.domain.media_subtitles import TextKind
from transcoder.codecs import VideoRange
from transcoder.colour import Colour

MAX_SIDE_PX = 8192
MAX_DURATION_S = 24 * 3600.0
MAX_STREAMS = 64
MAX_AUDIO_TRACKS = 8
MAX_TEXT_TRACKS = 32

# Demuxers a source may be read with; nothing that follows references to other files or addresses.
FORMATS = (
    "mov", "matroska", "mp3", "wav", "flac", "ogg", "mpegts", "mpeg", "aac", "avi", "flv", "aiff",
    "asf", "dv", "mxf", "gif", "caf", "w64", "au", "amr", "ac3", "eac3", "dts",
)  # fmt: skip

VIDEO_CODECS = frozenset({
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "h263", "flv1", "msmpeg4v2", "msmpeg4v3",
    "prores", "dnxhd", "ffv1", "theora", "mjpeg", "vc1", "wmv3", "wmv1", "wmv2", "msmpeg4v1", "dvvideo", "gif", "qtrle",
    "rawvideo", "huffyuv", "ffvhuff", "utvideo", "v210", "cfhd", "png", "jpeg2000", "svq1", "svq3", "cinepak", "vp6", "vp6f",
})  # fmt: skip
AUDIO_CODECS = frozenset({
    "aac", "mp3", "mp2", "ac3", "eac3", "opus", "vorbis", "flac", "alac", "dts", "truehd", "wmav2", "amr_nb", "amr_wb",
    "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_u8",
    "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "pcm_s8", "pcm_f64le", "pcm_f64be",
    "pcm_bluray", "pcm_dvd", "s302m", "aac_latm", "mp1", "wmav1", "wmapro", "wmalossless", "wmavoice", "nellymoser", "speex",
})  # fmt: skip
TEXT_CODECS = frozenset({"subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
COVER_CODECS = frozenset({"mjpeg", "png"})

# What may be opened at all, be it only to find out a size: the codecs above, also by their decoders' own names.
DECODERS = (
    *sorted(VIDEO_CODECS | AUDIO_CODECS | TEXT_CODECS | COVER_CODECS),
    "flv", "msmpeg4", "dca", "amrnb", "amrwb", "mp1float", "mp2float", "mp3float", "srt",
    "libdav1d", "libaom-av1", "libvpx", "libvpx-vp9", "libopus",
)  # fmt: skip
# How every reader of ours, PyAV or ffmpeg, opens a source.
READ_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
    "codec_whitelist": ",".join(DECODERS),
}


class Mastering(msgspec.Struct, frozen=True):
    """The screen that an HDR film was graded on (SMPTE ST 2086): chromaticities in 1/50000, luminance in 1/10000 cd/m2."""

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    most: int
    least: int


class LightLevel(msgspec.Struct, frozen=True):
    """How bright an HDR film gets (CTA-861.3), in cd/m2: its brightest pixel, its brightest picture on average."""

    pixel: int
    picture: int


class VideoTrack(msgspec.Struct, frozen=True):
    """The picture: stored size in pixels, how to show it, and how often it changes."""

    index: int
    codec: str
    width: int
    height: int
    sample_aspect: tuple[int, int] = (1, 1)
    rotation: int = 0
    frame_rate: tuple[int, int] = (25, 1)
    is_interlaced: bool = False
    transfer: VideoRange = "sdr"
    is_tagged: bool = False
    """Whether its primaries and its matrix are stated; where they are not, a high dynamic range is taken to be BT.2020."""
    colour: Colour = Colour()
    mastering: Mastering | None = None
    light: LightLevel | None = None
    is_plain: bool = False
    """H.264 in 4:2:0 with square pixels, upright and progressive: what every player takes as it is."""

    @property
    def is_hdr(self) -> bool:
        """Whether it is brighter than ordinary screens can show."""
        return self.transfer != "sdr"

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height on a screen with square pixels, upright."""
        num, den = self.sample_aspect
        ratio = Fraction(num, den) if num > 0 and den > 0 else Fraction(1)
        # The lines stay, the width follows; unless that would leave every bound.
        width, height = (self.width * ratio, Fraction(self.height))
        if width > MAX_SIDE_PX:
            width, height = (Fraction(self.width), self.height / ratio)
        size = max(2, round(width)), max(2, round(height))
        return (size[1], size[0]) if self.rotation % 180 == 90 else size


class AudioTrack(msgspec.Struct, frozen=True):
    """One sound track."""

    index: int
    codec: str
    channels: int
    language: str | None = None
    title: str | None = None
    is_described: bool = False
    """Whether it tells what is to be seen, for those who do not see it."""
    is_changing: bool = False
    """Whether its number of channels changes on the way: then its decoder makes stereo of all of it."""


class TextTrack(msgspec.Struct, frozen=True):
    """One embedded text subtitle track."""

    index: int
    codec: str
    language: str | None = None
    title: str | None = None
    kind: TextKind = "subtitles"


class LeftOut(msgspec.Struct, frozen=True):
    """A track of the file that a title does without: its codec is not accepted, nothing of it can be decoded, or it is one too many.

    Of pictures a title has one.
    """

    kind: Literal["video", "audio", "subtitles"]
    codec: str
    why: Literal["codec", "damaged", "too_many"]
    language: str | None = None
    title: str | None = None


class Source(msgspec.Struct, frozen=True):
    """A file that can be encoded: it has a picture or sound, and `duration_s` is where its last packet ends."""

    format: str
    duration_s: float
    video: VideoTrack | None = None
    audio: tuple[AudioTrack, ...] = ()
    text: tuple[TextTrack, ...] = ()
    cover_index: int | None = None
    """The embedded cover picture of an audio file."""
    left_out: tuple[LeftOut, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """Why a file cannot be encoded: a PS6xx code, and a sentence."""

    code: str
    message: str
