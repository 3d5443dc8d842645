"""Loudness by EBU R 128: what to ask of ffmpeg's meter, what its summary means, and the gain that follows. Pure.

One gain for a whole sound: its dynamics stay as they were mixed. The target is what EBU R 128 s2 names for streaming.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

TARGET_LUFS = -18.0
PEAK_DBTP = -1.0
_MOST_GAIN_DB = 20.0
_LEAST_GAIN_DB = -30.0
# Below this a track holds no programme; raising it would only raise its noise.
_SILENT_LUFS = -60.0
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")


@dataclass(frozen=True, slots=True)
class Loudness:
    """A track as measured: integrated loudness and true peak."""

    integrated_lufs: float
    peak_dbtp: float

    @property
    def gain_db(self) -> float:
        """What brings it to the target without a true peak above PEAK_DBTP; never the limiter's work."""
        if not math.isfinite(self.integrated_lufs) or self.integrated_lufs < _SILENT_LUFS:
            return 0.0
        wanted = TARGET_LUFS - self.integrated_lufs
        room = PEAK_DBTP - self.peak_dbtp if math.isfinite(self.peak_dbtp) else 0.0
        return round(max(_LEAST_GAIN_DB, min(wanted, room, _MOST_GAIN_DB)), 2)


def read_summaries(said: str) -> list[Loudness]:
    """The summaries in what the meter wrote to stderr: one, unless the sound changed on the way and the meter began anew."""
    found = zip(_INTEGRATED.findall(said), _PEAK.findall(said), strict=False)
    return [Loudness(float(integrated), float(peak)) for integrated, peak in found]
