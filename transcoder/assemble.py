"""Lays out a generation: packages every raw rendition, writes its playlists, and the master over all of them.

Decides names and groups. Blocking (files only): run it in a thread. Knows no database and no object store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from core.domain.media_results import Rendition
from transcoder import playlists
from transcoder.captions import thumbnails_vtt
from transcoder.codecs import CODECS, range_name
from transcoder.dash import Stream, Words, manifest
from transcoder.encode_picture import video_file
from transcoder.encode_sound import audio_file
from transcoder.ladder import GOPS_PER_SEGMENT, Plan, Rung
from transcoder.languages import UNKNOWN, language_name, language_tag
from transcoder.package import INIT, Packaged, package_audio, package_video
from transcoder.playlists import Bandwidth, Choice, Piece, Variant
from transcoder.samples import Decoded, read_record
from transcoder.source import Source
from transcoder.subtitles import GROUP, PLAYLIST, keep_basis, lay_subtitles, unused
from transcoder.texts import Text, embedded_texts

MASTER = "master.m3u8"
IFRAMES = "iframes.m3u8"
DASH = "manifest.mpd"
POSTER = "poster.jpg"
AUDIO_GROUP = "audio"
_DESCRIBES = "public.accessibility.describes-video"


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished folder: what the database is told of it, and the length that every rendition covers.

    `decoded`: by a rendition's path, what was decoded of the encoder's files that it was made of, in their order.
    """

    folder: Path
    renditions: tuple[Rendition, ...]
    duration: Fraction
    width: int | None
    height: int | None
    has_video: bool
    has_audio: bool
    has_poster: bool
    decoded: Mapping[str, tuple[Decoded, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Heard:
    path: str
    name: str
    language: str
    channels: int
    packaged: Packaged
    bandwidth: Bandwidth
    purpose: str | None


class _Layout:
    """The generation while it is being laid out; one method for each kind of rendition."""

    def __init__(self, source: Source, plan: Plan, raw: Path, out: Path, language: str | None, chunks: int) -> None:
        self.source, self.plan, self.raw, self.out = source, plan, raw, out
        self.parts = [raw] if chunks == 1 else [raw / str(number) for number in range(chunks)]
        self.language = language_tag(language)
        self.renditions: list[Rendition] = []
        self.choices: list[Choice] = []
        self.variants: list[Variant] = []
        self.sounds: list[_Heard] = []
        self.streams: list[Stream] = []
        self.words: list[Words] = []
        self.records = {part: read_record(part) for part in (raw, *self.parts)}
        self.decoded: dict[str, tuple[Decoded, ...]] = {}
        # One target duration for picture and sound (Apple 8.2).
        self.target_s = max(1, int(plan.segment + Fraction(1, 2)))

    def add_sounds(self) -> None:
        names: set[str] = set()
        for number, sound in enumerate(self.plan.sounds):
            track = self.source.audio[sound.track]
            language = language_tag(track.language)
            if language == UNKNOWN and sound.track == 0:
                language = self.language
            called = track.title or language_name(language) or f"Audio {sound.track + 1}"
            if track.is_described and track.title is None:
                called = f"{called} (described)"
            name = unused(called if sound.channels == 2 else f"{called} (5.1)", names)
            folder = f"audio/{number}-{language}"
            raw = audio_file(self.raw, number)
            packaged = package_audio(raw, self.out / folder, self.plan.segment)
            self._note(f"{folder}/{PLAYLIST}", [raw])
            raw.unlink()
            target_s = self._target(packaged.segments)
            self._write(f"{folder}/{PLAYLIST}", playlists.media_playlist(packaged.segments, target_s, init=INIT))
            bandwidth = playlists.measure(packaged.segments, self.target_s)
            self.streams.append(
                Stream(
                    folder, packaged.track.codecs, bandwidth, packaged.track.timescale, packaged.segments,
                    channels=sound.channels, language=language, is_default=number == 0, is_described=track.is_described,
                )
            )  # fmt: skip
            self.sounds.append(
                _Heard(
                    f"{folder}/{PLAYLIST}", name, language, sound.channels, packaged, bandwidth,
                    _DESCRIBES if track.is_described else None,
                )
            )  # fmt: skip
            self.renditions.append(
                Rendition(
                    "audio", name, f"{folder}/{PLAYLIST}", packaged.track.codecs, bandwidth_bps=bandwidth.peak_bps,
                    average_bandwidth_bps=bandwidth.average_bps, channels=sound.channels, language=language,
                    segment_count=len(packaged.segments), size_bytes=packaged.size_bytes,
                    duration_ms=_ms(packaged.duration),
                )
            )  # fmt: skip
        if len(self.sounds) > 1 or (self.sounds and self.plan.grid):
            self.choices += [
                Choice("AUDIO", AUDIO_GROUP, s.name, s.language, s.path, n == 0, s.channels, characteristics=s.purpose)
                for n, s in enumerate(self.sounds)
            ]

    def add_texts(self, given: Sequence[Text]) -> None:
        own = tuple(embedded_texts(self.source, self.raw))
        laid = lay_subtitles(self.out, keep_basis(self.out, self.plan.duration, self.plan.segment, own), given)
        self.choices += laid.choices
        self.words += laid.words
        self.renditions += laid.renditions

    def add_pictures(self) -> None:
        grid = self.plan.grid
        assert grid is not None
        heaviest_peak = max((s.bandwidth.peak_bps for s in self.sounds), default=0)
        heaviest_average = max((s.bandwidth.average_bps for s in self.sounds), default=0)
        sound_codecs = tuple(dict.fromkeys(s.packaged.track.codecs for s in self.sounds))
        is_high = any(rung.range != "sdr" for rung in self.plan.rungs)
        several = len({rung.codec for rung in self.plan.rungs}) > 1
        for rung in self.plan.rungs:
            folder = f"video/{rung.name}"
            raws = [video_file(part, rung) for part in self.parts]
            packaged = package_video(raws, self.out / folder, GOPS_PER_SEGMENT)
            self._note(f"{folder}/{PLAYLIST}", raws)
            for raw in raws:
                raw.unlink()
            track, pieces, frames = packaged.track, packaged.segments, packaged.key_frames
            self._write(f"{folder}/{PLAYLIST}", playlists.media_playlist(pieces, self._target(pieces), init=INIT))
            frames_target_s = playlists.target_duration(frames)
            self._write(f"{folder}/{IFRAMES}", playlists.iframe_playlist(frames, frames_target_s, init=INIT))
            own, of_frames = playlists.measure(pieces, self.target_s), playlists.measure(frames, frames_target_s)
            video_range = range_name(track.transfer) if is_high else None
            self.streams.append(
                Stream(
                    folder, track.codecs, own, track.timescale, pieces, track.width, track.height, grid.rate,
                    transfer=track.transfer if rung.range != "sdr" else None,
                )
            )  # fmt: skip
            both = Bandwidth(own.peak_bps + heaviest_peak, own.average_bps + heaviest_average)
            has_text = any(choice.kind == "SUBTITLES" for choice in self.choices)
            self.variants.append(
                Variant(
                    f"{folder}/{PLAYLIST}", both, (track.codecs, *sound_codecs), track.width, track.height, grid.rate,
                    AUDIO_GROUP if self.sounds else None, GROUP if has_text else None, video_range=video_range,
                    score=score(rung) if several else None, place=CODECS.index(rung.codec),
                )
            )  # fmt: skip
            self.variants.append(
                Variant(
                    f"{folder}/{IFRAMES}", of_frames, (track.codecs,), track.width, track.height, is_iframes=True,
                    video_range=video_range,
                )
            )  # fmt: skip
            for kind, path, bandwidth, listed in (
                ("video", PLAYLIST, own, pieces),
                ("iframes", IFRAMES, of_frames, frames),
            ):
                self.renditions.append(
                    Rendition(
                        "video" if kind == "video" else "iframes", rung.name, f"{folder}/{path}", track.codecs,
                        track.width, track.height, round(float(grid.rate), 3), bandwidth.peak_bps, bandwidth.average_bps,
                        segment_count=len(listed), size_bytes=sum(p.size_bytes for p in listed),
                        duration_ms=_ms(packaged.duration),
                    )
                )  # fmt: skip

    def add_sound_only(self) -> None:
        """No picture: the first sound track is the variant, others are choices beside it."""
        sound = self.sounds[0]
        bandwidths = [s.bandwidth for s in self.sounds]
        heaviest = Bandwidth(max(b.peak_bps for b in bandwidths), max(b.average_bps for b in bandwidths))
        group = AUDIO_GROUP if len(self.sounds) > 1 else None
        self.variants.append(Variant(sound.path, heaviest, (sound.packaged.track.codecs,), audio=group))

    def _target(self, pieces: tuple[Piece, ...]) -> int:
        return max(self.target_s, playlists.target_duration(pieces))

    def _note(self, path: str, raws: Sequence[Path]) -> None:
        found = [self.records[raw.parent].get(raw.name) for raw in raws]
        known = tuple(one for one in found if one is not None)
        if len(known) == len(raws):
            self.decoded[path] = known

    def _write(self, path: str, text: str) -> None:
        (self.out / path).write_text(text, "utf-8")


def assemble(
    source: Source,
    plan: Plan,
    raw: Path,
    out: Path,
    language: str | None,
    chunks: int = 1,
    texts: Sequence[Text] = (),
) -> Generation:
    """Makes `out` from the encoder's files in `raw`, which it uses up. Raises Mp4Error, Unsound, OSError.

    Pictures that were made in more than one chunk lie in `raw`/0, `raw`/1 and so on. `texts` come beside those in the source.
    """
    out.mkdir(parents=True)
    layout = _Layout(source, plan, raw, out, language, chunks)
    layout.add_sounds()
    if plan.grid is not None:
        layout.add_texts(texts)
        layout.add_pictures()
    else:
        layout.add_sound_only()
    master = playlists.multivariant_playlist(layout.choices, layout.variants)
    (out / MASTER).write_text(master, "utf-8")
    longest = max(piece.duration for stream in layout.streams for piece in stream.pieces)
    (out / DASH).write_text(manifest(plan.duration, longest, layout.streams, layout.words), "utf-8")
    top = plan.rungs[0] if plan.rungs else None
    return Generation(
        out, tuple(layout.renditions), plan.duration, top.width if top else None, top.height if top else None,
        plan.grid is not None, bool(layout.sounds), False, layout.decoded,
    )  # fmt: skip


def add_stills(generation: Generation, plan: Plan, raw: Path) -> Generation:
    """Moves poster and thumbnails, where there are any, out of `raw` to where players look for them."""
    poster, sheet, out = raw / "poster.jpg", raw / "sprite.jpg", generation.folder
    if poster.exists():
        poster.rename(out / POSTER)
    if sheet.exists() and plan.sprite and plan.grid:
        (out / "thumbnails").mkdir()
        sheet.rename(out / "thumbnails/sprite.jpg")
        text = thumbnails_vtt(plan.sprite, plan.grid.rate, plan.duration, "sprite.jpg")
        (out / "thumbnails/sprite.vtt").write_text(text, "utf-8")
    return replace(generation, has_poster=(out / POSTER).exists())


def score(rung: Rung) -> int:
    """SCORE: more lines look better, then the range, then the codec that shows more at the same rate."""
    return 10 * rung.lines + (5 if rung.range != "sdr" else 0) + CODECS.index(rung.codec) + 1


def _ms(duration: Fraction) -> int:
    return int(duration * 1000 + Fraction(1, 2))
