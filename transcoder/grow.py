"""Cuts an encoder's file into segments while it is still being written. Blocking (files only); knows no store and no database.

What has been cut has been checked: a growing playlist lists nothing that a finished one would be refused for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from transcoder.boxes import Mp4Error
from transcoder.fragments import STYP, fragment_head, init_segment
from transcoder.mp4 import Fragment, Track, read_fragment, read_track
from transcoder.package import INIT
from transcoder.playlists import Piece
from transcoder.tail import Tail
from transcoder.verify_media import check_segment

_EARLY_FRAGMENTS = 3
"""How many groups of pictures must be there before the shift of their composition times is settled."""


@dataclass(slots=True)
class Growing:
    """One track: `raw` grows, `folder` gets init.mp4 and {n}.m4s of at least `segment` seconds, each whole and final."""

    raw: Path
    folder: Path
    segment: Fraction
    is_video: bool
    longest: Fraction
    pieces: list[Piece] = field(default_factory=list)
    track: Track | None = None
    _moov: bytes = b""
    _waiting: list[tuple[Fragment, bytes]] = field(default_factory=list)
    _shift: int = 0
    _begun: int = 0
    _sequence: int = 0
    _seen: int = 0
    _tail: Tail = field(init=False)

    def __post_init__(self) -> None:
        self._tail = Tail(self.raw)

    def advance(self, *, is_over: bool) -> list[Piece]:
        """Segments that became whole since the last call; with `is_over`, the rest too. Raises Mp4Error, Unsound."""
        new: list[Piece] = []
        while (box := self._tail.next()) is not None:
            kind, data = box
            if kind == b"moov":
                self._moov = data
            elif kind == b"moof":
                self._waiting.append((read_fragment(data), b""))
            elif kind == b"mdat" and self._waiting:
                self._waiting[-1] = (self._waiting[-1][0], data[8:])
                self._seen += 1
        if self.track is None and not self._settle(is_over):
            return new
        assert self.track is not None
        while (group := self._next(is_over)) is not None:
            new.append(self._write(self.track, group))
            self.pieces.append(new[-1])
        return new

    def _settle(self, is_over: bool) -> bool:
        """Writes the init segment as soon as the shift of the composition times is known."""
        if not self._moov or (self._seen < _EARLY_FRAGMENTS and not is_over):
            return False
        early = (-sample.cts for fragment, _ in self._waiting for sample in fragment.samples)
        self._shift = max(0, max(early, default=0))
        self.folder.mkdir(parents=True)
        data = init_segment(self._moov, self._shift)
        (self.folder / INIT).write_bytes(data)
        self.track = read_track(data)
        return True

    def _next(self, is_over: bool) -> list[tuple[Fragment, bytes]] | None:
        assert self.track is not None
        whole = [pair for pair in self._waiting if pair[1]]
        if not whole:
            return None
        lasting = 0
        for number, (fragment, _) in enumerate(whole, 1):
            lasting += fragment.duration
            if Fraction(lasting, self.track.timescale) >= self.segment:
                taken = whole[:number]
                break
        else:
            if not is_over:
                return None
            taken = whole
        self._waiting = self._waiting[len(taken) :]
        return taken

    def _write(self, track: Track, group: list[tuple[Fragment, bytes]]) -> Piece:
        name, began = f"{len(self.pieces)}.m4s", self._begun
        with (self.folder / name).open("wb") as out:
            out.write(STYP)
            for fragment, data in group:
                if fragment.decode_time != self._begun:
                    raise Mp4Error(f"jumps from {self._begun} to {fragment.decode_time}")
                self._sequence += 1
                out.write(fragment_head(self._sequence, track.track_id, self._begun, fragment.samples, self._shift))
                out.write(data)
                self._begun += fragment.duration
            size_bytes = out.tell()
        duration = Fraction(self._begun - began, track.timescale)
        if duration > self.longest:
            raise Mp4Error(f"a segment of {float(duration):.1f} s")
        check_segment(self.folder / name, track, began, duration, name)
        return Piece(name, duration, size_bytes)
