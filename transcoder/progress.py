"""Turns ffmpeg's `-progress` lines into a share of the work and the seconds left. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

# Encoding is this share of a job; checking and uploading are the rest.
ENCODE_SHARE = 0.9
# The first seconds say little about the speed.
_MIN_ELAPSED_S = 1.0


@dataclass(slots=True)
class Progress:
    """Reads lines such as `out_time_us=11011000`; `done_s` is how much of `total_s` has been encoded."""

    total_s: float
    started_at: float
    done_s: float = 0.0
    ended: bool = field(default=False)

    def read(self, line: str) -> bool:
        """Takes one line; whether it moved. Anything not understood (`N/A`, junk) is left alone."""
        key, _, value = line.strip().partition("=")
        if key == "progress" and value == "end":
            moved = not self.ended
            self.ended = True
            self.done_s = self.total_s
            return moved
        if key != "out_time_us" or not value.isascii() or not value.isdigit():
            return False
        done_s = min(int(value) / 1_000_000, self.total_s)
        if done_s <= self.done_s:
            return False
        self.done_s = done_s
        return True

    @property
    def share(self) -> float:
        """0 to 1, never falling."""
        return self.done_s / self.total_s if self.total_s > 0 else float(self.ended)

    @property
    def percent(self) -> float:
        """Percent of the whole job."""
        return 100 * ENCODE_SHARE * self.share

    def eta_s(self, now: float) -> int | None:
        """Seconds left at the pace so far (whole job), or None while that would be a guess."""
        elapsed_s = now - self.started_at
        if self.share <= 0 or elapsed_s < _MIN_ELAPSED_S:
            return None
        return max(0, round(elapsed_s * (1 / (self.share * ENCODE_SHARE) - 1)))
