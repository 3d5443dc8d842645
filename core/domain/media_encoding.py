"""What a job may ask of its encoding beyond the installation's settings: codecs, how the ladder is chosen, encryption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from core.errors import Refusal, bad_field

CODECS = ("h264", "hevc", "av1")
QUALITIES = ("fast", "auto")

Quality = Literal["fast", "auto"]


class Encoding(msgspec.Struct, frozen=True):
    """None everywhere: as the installation is set."""

    codecs: tuple[str, ...] | None = None
    quality: str | None = None
    encrypt: bool | None = None

    def over(self, default: Encoding) -> Encoding:
        """This where it says something, else `default`."""
        return Encoding(
            self.codecs if self.codecs is not None else default.codecs,
            self.quality if self.quality is not None else default.quality,
            self.encrypt if self.encrypt is not None else default.encrypt,
        )


AS_SET = Encoding()
USUAL = Encoding(("h264",), "fast", False)
"""How an installation is set that says nothing."""


def read_codecs(text: str) -> tuple[str, ...]:
    """The codecs of a list such as `h264,av1`."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def check_codecs(codecs: Sequence[str]) -> str | None:
    """What is wrong with a list of codecs, as the end of a sentence; None when nothing is."""
    if unknown := [codec for codec in codecs if codec not in CODECS]:
        return f"must be some of {', '.join(CODECS)}, not {unknown[0][:40]!r}"
    if len(set(codecs)) != len(codecs):
        return "must name each codec once"
    if "h264" not in codecs:
        return "must have h264, which every device plays"
    return None


def check_encoding(encoding: Encoding) -> Refusal | None:
    """Refuses a codec or a way of choosing that there is not, and a list without H.264."""
    if encoding.codecs is not None and (wrong := check_codecs(encoding.codecs)):
        return bad_field("codecs", wrong)
    if encoding.quality is not None and encoding.quality not in QUALITIES:
        return bad_field("quality", f"must be {' or '.join(QUALITIES)}")
    return None
