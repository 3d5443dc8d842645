"""Straightens the time line of a stream that was joined from several, as ffmpeg does while it encodes. Pure.

A broadcast that was cut and joined, or two recordings in one file, has time stamps that jump. What is decoded follows on without
a hole, so a length taken from the stamps as they stand would be an hour too long, or would lose all that comes after the jump.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FORMATS = frozenset({"mpegts", "mpeg", "ogg"})
"""Containers whose time stamps may jump (AVFMT_TS_DISCONT): in all others a gap is meant."""
# ffmpeg's -dts_delta_threshold, and how far back a stamp may go before it is a jump.
_GAP_US = 10_000_000
_BACK_US = 100_000


@dataclass(slots=True)
class Straightener:
    """Packets in the file's order; all streams share one shift, since they jump together."""

    _shift_us: int = 0
    _last_us: int | None = None
    _at_us: dict[int, int] = field(default_factory=dict)
    _next_us: dict[int, int] = field(default_factory=dict)

    def shift(self, stream: int, dts_us: int, duration_us: int) -> int:
        """What to add to this packet's time stamps, in microseconds."""
        at = dts_us + self._shift_us
        expected = self._next_us.get(stream)
        if expected is not None:
            jumps = abs(at - expected) > _GAP_US or at + _BACK_US < self._at_us[stream]
        else:
            expected = self._last_us
            jumps = expected is not None and abs(at - expected) > _GAP_US
        if jumps and expected is not None:
            self._shift_us += expected - at
            at = expected
        self._last_us = self._at_us[stream] = at
        self._next_us[stream] = at + duration_us
        return self._shift_us
