"""The first rendition, playable seconds after the start: it grows in the store while the ladder is encoded elsewhere.

A source that players can take as it is becomes it without being encoded; any other gets one small rung. Decides when it may be
shown: as soon as every track has a segment that is whole, checked and stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import structlog

from core import errors
from core.domain.media_previews import Preview
from core.domain.media_tasks import LEASE_S, Attempt
from core.errors import Refusal
from core.objects import ObjectStore
from transcoder import encode, encoder, playlists
from transcoder.assemble import AUDIO_GROUP, MASTER
from transcoder.boxes import Mp4Error
from transcoder.encode_picture import video_file
from transcoder.encode_sound import audio_file
from transcoder.encoder import Transient
from transcoder.grow import Growing
from transcoder.ladder import AUDIO_BPS, Plan, Rung, plan
from transcoder.languages import UNKNOWN, language_name, language_tag
from transcoder.package import INIT
from transcoder.pieces import read_shared
from transcoder.playlists import Bandwidth, Choice, Piece, Variant
from transcoder.publish import withdraw
from transcoder.source import Source
from transcoder.status import Status
from transcoder.unsound import Unsound
from transcoder.workshop import Workshop

log = structlog.get_logger(__name__)

PLAYLIST = "event.m3u8"
POLL_S = 0.2
_LINES = 360
# A source's own groups of pictures may be long; beyond this a player would wait too long at every seek.
_LONGEST_COPIED_S = Fraction(10)
_COPIED_PEAK = 2

Show = Callable[[Preview], Awaitable[bool]]
"""Gives players the preview; False when nobody needs it."""


async def make_preview(attempt: Attempt, shop: Workshop, folder: Path, status: Status, show: Show) -> None:
    """Grows a preview to its end. Raises Refusal, Transient, StoreDown; what players were not given is removed."""
    source = read_shared(attempt).source
    assert source.video is not None
    whole = plan(source)
    rung = next((rung for rung in reversed(whole.base) if rung.lines >= _LINES), whole.base[0])
    wanted = replace(whole, rungs=(rung,), sounds=whole.sounds[:1])
    async with shop.source(attempt) as path:
        for way in ("copy", "encode") if source.video.is_plain else ("encode",):
            growth = _Growth(attempt, shop, source, wanted, folder / way, show, status, is_copy=way == "copy")
            try:
                await growth.run(path)
                return
            except (Mp4Error, Unsound, Refusal) as error:
                if growth.is_ahead or way == "encode":
                    raise Refusal(errors.VERIFY_FAILED, f"The preview could not go on: {error}.") from error
                log.info("source_not_copied", why=str(error))
            finally:
                if not (growth.is_shown or attempt.resumes):
                    await withdraw(shop.store, attempt.store_prefix)


class _Growth:
    """One way of making the preview, from the first byte to the end of its playlists."""

    def __init__(
        self,
        attempt: Attempt,
        shop: Workshop,
        source: Source,
        wanted: Plan,
        folder: Path,
        show: Show,
        status: Status,
        *,
        is_copy: bool,
    ) -> None:
        self._store: ObjectStore = shop.store
        self._exe = shop.exe
        self._prefix = attempt.store_prefix
        self._source, self._wanted, self._show, self._is_copy = source, wanted, show, is_copy
        self._raw, self._out = folder / "raw", folder / "out"
        self._size_bytes = attempt.size_bytes
        self._resumes, self._status = attempt.resumes, status
        self._held: dict[str, str] = {}
        self.is_shown = False
        segment, longest = wanted.segment, _LONGEST_COPIED_S if is_copy else wanted.segment + Fraction(1, 2)
        rung = wanted.rungs[0]
        video = Growing(video_file(self._raw, rung), self._out / f"video/{rung.name}", segment, True, longest)
        self._tracks = {f"video/{rung.name}": video}
        if wanted.sounds:
            self._language = language_tag(source.audio[0].language)
            sound = f"audio/0-{self._language}"
            self._tracks[sound] = Growing(audio_file(self._raw, 0), self._out / sound, segment, False, longest)
        self._target_s = int(longest) if is_copy else max(1, int(segment + Fraction(1, 2)))

    @property
    def is_ahead(self) -> bool:
        """Whether players hold something that this way of making it has made."""
        return self.is_shown and not self._held

    async def run(self, path: Path) -> None:
        """To the end of every track. Raises Refusal, Transient, StoreDown, Mp4Error, Unsound."""
        if self._resumes:
            self._held = {name: await self._held_playlist(name) for name in self._tracks}
            self.is_shown = True
        self._raw.mkdir(parents=True)
        argv = encode.preview_argv(self._exe, path, self._source, self._wanted, self._raw, is_copy=self._is_copy)
        total_s = float(self._wanted.duration)
        encoding = asyncio.create_task(
            encoder.encode(argv, total_s, self._status.encoded, reads=[path], writes=self._raw)
        )
        try:
            while True:
                is_over = encoding.done()
                if is_over:
                    encoding.result()
                for name, track in self._tracks.items():
                    await self._advance(name, track, is_over=is_over)
                if not self.is_shown and all(track.pieces for track in self._tracks.values()):
                    await self._store.put(f"{self._prefix}/{MASTER}", self._master().encode())
                    if not await self._show(self._preview()):
                        log.info("preview_not_needed")
                        return
                    self.is_shown = True
                if is_over:
                    return
                await asyncio.wait((encoding,), timeout=POLL_S)
        finally:
            encoding.cancel()
            await asyncio.wait((encoding,))
            if not encoding.cancelled():
                encoding.exception()  # looked at: what it raised has been raised from here

    async def _advance(self, name: str, track: Growing, *, is_over: bool) -> None:
        """Stores what is new, its playlist last: a playlist never names what is not there yet."""
        is_first = not track.pieces
        new = await asyncio.to_thread(track.advance, is_over=is_over)
        if name in self._held and (new or is_over):
            new = await self._catch_up(name, track, new, is_over=is_over)
        elif is_first and new and name not in self._held:
            await self._store.put(f"{self._prefix}/{name}/{INIT}", track.folder / INIT)
        self._check_pace()
        for piece in new:
            file = track.folder / piece.uri
            await self._store.put(f"{self._prefix}/{name}/{piece.uri}", file)
            await asyncio.to_thread(file.unlink)
        if new or (is_over and track.pieces):
            await self._store.put(f"{self._prefix}/{name}/{PLAYLIST}", self._playlist(track, is_over).encode())

    def _playlist(self, track: Growing, is_over: bool) -> str:
        return playlists.event_playlist(track.pieces, self._target_s, init=INIT, is_over=is_over)

    async def _held_playlist(self, name: str) -> str:
        return (await self._store.get(f"{self._prefix}/{name}/{PLAYLIST}")).decode()

    async def _catch_up(self, name: str, track: Growing, new: list[Piece], *, is_over: bool) -> list[Piece]:
        """Of the segments just made those that players do not hold yet. What they hold is left as it is, byte for byte.

        Cuts follow from the source, so another attempt makes them at the same places; one that does not is refused (RFC 8216, 6.2.1).
        """
        held = self._held[name]
        if not track.pieces:
            return new
        if (track.folder / INIT).read_bytes() != await self._store.get(f"{self._prefix}/{name}/{INIT}"):
            raise Mp4Error("the earlier attempt at this preview was another encoder's")
        mine = self._playlist(track, False)
        known = held.removesuffix("#EXT-X-ENDLIST\n")
        if known.startswith(mine) and not (is_over and known != mine):
            for piece in new:
                await asyncio.to_thread((track.folder / piece.uri).unlink)
            return []
        if not mine.startswith(known):
            raise Mp4Error("cut at other places than the earlier attempt at this preview")
        del self._held[name]
        count = known.count("#EXTINF")
        return [piece for number, piece in enumerate(track.pieces) if number >= count and piece in new]

    def _check_pace(self) -> None:
        """Raises Transient after a pause in which the lease may have gone to another, who must not find its playlists put back."""
        if self._status.stood_still_s() > LEASE_S:
            raise Transient(Refusal(errors.UNAVAILABLE, "The worker stood still for longer than its lease."))

    def _master(self) -> str:
        """One variant; its bit rate is the ceiling of what is still to come."""
        (video_name, video), *sounds = self._tracks.items()
        assert video.track is not None
        choices, codecs = [], [video.track.codecs]
        for name, sound in sounds:
            assert sound.track is not None
            codecs.append(sound.track.codecs)
            called = language_name(self._language) or ("Audio" if self._language == UNKNOWN else self._language)
            choices.append(Choice("AUDIO", AUDIO_GROUP, called, self._language, f"{name}/{PLAYLIST}", True, 2))
        own_bps = self._bps(self._wanted.rungs[0]) + (AUDIO_BPS * 11 // 10 if sounds else 0)
        grid = self._wanted.grid
        variant = Variant(
            f"{video_name}/{PLAYLIST}", Bandwidth(own_bps, own_bps), tuple(codecs), video.track.width, video.track.height,
            grid.rate if grid else None, AUDIO_GROUP if sounds else None,
        )  # fmt: skip
        return playlists.multivariant_playlist(choices, [variant])

    def _bps(self, rung: Rung) -> int:
        if self._is_copy:
            return int(_COPIED_PEAK * 8 * self._size_bytes / self._wanted.duration)
        return rung.max_bps * 11 // 10

    def _preview(self) -> Preview:
        track = next(iter(self._tracks.values())).track
        assert track is not None
        duration_ms = int(self._wanted.duration * 1000 + Fraction(1, 2))
        return Preview(duration_ms, track.width, track.height, bool(self._wanted.sounds))
