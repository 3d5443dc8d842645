"""What this machine's ffmpeg can do, asked of it once, and what a plan needs of it: another build may lack an encoder or a filter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core import errors
from core.errors import Refusal
from core.process import run_tool
from transcoder.codecs import FACTS, Codec
from transcoder.encoder import Transient
from transcoder.ladder import Plan
from transcoder.source import Source

_ASK_S = 20.0
# `ffmpeg -encoders` and `-filters`: flags, a name, what it is.
_NAME = re.compile(r"^ [A-Z.|]{2,6} +([A-Za-z0-9_-]+) +\S", re.M)
HDR_FILTERS = frozenset({"zscale", "tonemap"})
METERS = ("libvmaf", "xpsnr")
"""Filters that tell how much of a picture was lost, the better one first."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """The encoders and filters that were built into an ffmpeg."""

    encoders: frozenset[str]
    filters: frozenset[str]

    @property
    def meter(self) -> str | None:
        """The filter to measure quality with, if there is one."""
        return next((name for name in METERS if name in self.filters), None)

    def lacks(self, codecs: Iterable[Codec], *, is_hdr: bool) -> tuple[str, ...]:
        """The encoders and filters that are missing for a ladder in `codecs`, of a source of high dynamic range or not."""
        encoders = {FACTS[codec].encoder for codec in codecs} - self.encoders
        filters = HDR_FILTERS - self.filters if is_hdr else frozenset()
        return (*sorted(encoders), *sorted(filters))


def read_names(listing: str) -> frozenset[str]:
    """The names in what `ffmpeg -encoders` or `-filters` prints."""
    return frozenset(_NAME.findall(listing))


@cache
def find_abilities(exe: Path) -> Abilities:
    """Asks the ffmpeg at `exe`, once a process. Blocking, some 100 ms."""

    def ask(what: str) -> frozenset[str]:
        return read_names(run_tool([exe, "-nostdin", "-hide_banner", what], timeout_s=_ASK_S).stdout)

    return Abilities(ask("-encoders"), ask("-filters"))


def check_abilities(exe: Path, source: Source, wanted: Plan) -> None:
    """Raises Transient when another worker's ffmpeg may be able to, and this one is not. Blocking."""
    is_hdr = source.video is not None and source.video.is_hdr
    lacking = find_abilities(exe).lacks({rung.codec for rung in wanted.rungs}, is_hdr=is_hdr)
    if lacking:
        text = f"This worker's ffmpeg was built without {', '.join(lacking)}."
        raise Transient(Refusal(errors.ENCODER_LACKS, text, hint="Use the bundled ffmpeg, or fewer codecs."))
