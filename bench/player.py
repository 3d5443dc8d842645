"""What a simulated player knows: playlists, its buffer and its choice of quality. No network and no clock of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

BUFFER_S = 12.0
"""It fetches ahead as far as this, as hls.js does by default within its limits."""

SAFETY = 0.7
"""Share of the measured throughput that a chosen quality may need."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One quality of the master playlist."""

    bandwidth_bps: int
    uri: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a media playlist."""

    duration_s: float
    uri: str


@dataclass(frozen=True, slots=True)
class Master:
    """The qualities, lowest first, and the sound that goes with them (None when it is inside)."""

    variants: tuple[Variant, ...]
    audio_uri: str | None


def read_master(text: str) -> Master:
    """Raises ValueError when it lists nothing to play."""
    lines = text.splitlines()
    variants = [
        Variant(int(match.group(1)), lines[number + 1])
        for number, line in enumerate(lines)
        if (match := re.match(r"#EXT-X-STREAM-INF:.*?BANDWIDTH=(\d+)", line))
    ]
    if not variants:
        raise ValueError("the master playlist has no variants")
    audio = re.search(r'^#EXT-X-MEDIA:TYPE=AUDIO.*?URI="([^"]+)"', text, re.M)
    sound = audio.group(1) if audio else None
    ordered = sorted(variants, key=lambda variant: variant.bandwidth_bps)
    return Master(tuple(ordered), None if sound == ordered[0].uri else sound)


def read_media(text: str) -> tuple[str | None, tuple[Segment, ...]]:
    """The init section's URI and the segments."""
    init = re.search(r'^#EXT-X-MAP:URI="([^"]+)"', text, re.M)
    pairs = re.findall(r"^#EXTINF:([0-9.]+),[^\n]*\n(?:#[^\n]*\n)*([^#\n]+)", text, re.M)
    return init.group(1) if init else None, tuple(Segment(float(duration), uri) for duration, uri in pairs)


def choose(variants: tuple[Variant, ...], throughput_bps: float) -> int:
    """The best quality that the throughput carries with some to spare; at least the lowest."""
    fitting = [number for number, variant in enumerate(variants) if variant.bandwidth_bps <= throughput_bps * SAFETY]
    return max(fitting, default=0)


@dataclass(slots=True)
class Buffer:
    """Seconds that are fetched and not yet played, against a clock that is passed in."""

    played_from: float | None = None
    filled_s: float = 0.0
    stalls: int = 0
    stalled_s: float = 0.0

    def add(self, duration_s: float, now: float) -> float:
        """A segment has arrived at `now`; by how many seconds it came too late."""
        if self.played_from is None:
            self.played_from = now
        late_s = max(0.0, now - (self.played_from + self.filled_s))
        if late_s > 0.0 and self.filled_s > 0.0:
            self.stalls += 1
            self.stalled_s += late_s
            self.played_from += late_s
        self.filled_s += duration_s
        return late_s if self.filled_s > duration_s else 0.0

    def ahead_s(self, now: float) -> float:
        """How much is left to play."""
        return 0.0 if self.played_from is None else max(0.0, self.played_from + self.filled_s - now)

    def flush(self) -> None:
        """A seek: what was fetched is of no use; waiting for the new place is no stall."""
        self.played_from = None
        self.filled_s = 0.0
