"""How a generation may be unsound: the rules by name, and the failure that names rule, place and what was found."""

from __future__ import annotations

from enum import StrEnum

from core import errors
from core.errors import Refusal


class Rule(StrEnum):
    """What is checked before anything is published. The sections are RFC 8216's (R), Apple's authoring rules' (A), CMAF's (C)."""

    PLAYLIST = "playlist"
    """Whole, of version 7, VOD with an end, every reference there (R 4.3, A 8.6)."""
    TARGET_DURATION = "target-duration"
    """No EXTINF beyond it, no segment half a second longer, one for picture and sound (R 4.3.3.1, A 7.7, 8.2)."""
    EXTINF = "extinf"
    """Each EXTINF is its segment's length, and their sum the rendition's (A 8.1)."""
    DURATION = "duration"
    """Every rendition lasts as long as the source (A 8.3, 8.7)."""
    FIRST_PTS = "first-pts"
    """Every rendition is shown from zero, and every segment from its start."""
    CONTINUITY = "continuity"
    """Each fragment's tfdt is the end of the one before (A 7.3), and a sound has as many frames as its length takes."""
    KEY_FRAME = "key-frame"
    """Every segment begins with an IDR picture, and no fragment hides another (A 7.4)."""
    ALIGNMENT = "alignment"
    """All pictures are cut at the same instants, the sound within one of its frames (A 8.22)."""
    INIT = "init"
    """The init segment is ftyp and moov with one track without samples (C 7.3)."""
    FRAGMENT = "fragment"
    """moof and mdat in pairs, addressed from the moof, sizes that add up (C 7.5)."""
    CODECS = "codecs"
    """CODECS is what the init segments say (A 9.1)."""
    RANGE = "range"
    """VIDEO-RANGE is what the init segments say, on every variant or none, and one variant is SDR (A 1.24, 9.16)."""
    SCORE = "score"
    """SCORE is on every variant or on none (A 9.19)."""
    RESOLUTION = "resolution"
    """RESOLUTION and FRAME-RATE are the picture's (A 9.2, 9.15)."""
    BANDWIDTH = "bandwidth"
    """BANDWIDTH and AVERAGE-BANDWIDTH are what the segments measure (A 9.13, 9.14)."""
    GROUPS = "groups"
    """Every group that a variant names exists, with one default (R 4.3.4.1)."""
    IFRAMES = "i-frames"
    """An I-frame playlist's byte ranges are the key frames, from their moof on (A 6.8, 6.10)."""
    TEXT = "text"
    """Subtitle segments are WebVTT on the media's clock (A 5.3)."""
    ENCRYPTION = "encryption"
    """Where it was asked for, no segment is in the clear and every playlist leads to the one key (R 4.3.2.4)."""
    DECODE = "decode"
    """All that the encoder wrote is decoded without a word from the decoder, and so is the beginning of every rendition."""
    SAMPLES = "samples"
    """The samples of a rendition are those that were decoded, byte for byte, all of them and in their order."""
    CHECKSUM = "checksum"
    """What the store holds is what was made."""


class Unsound(Exception):  # noqa: N818 - states the fact
    """The generation breaks `rule` in `rendition` (a playlist's path)."""

    def __init__(self, rule: Rule, rendition: str, problem: str) -> None:
        super().__init__(f"rule {rule} of {rendition}: {problem}")
        self.rule = rule
        self.rendition = rendition
        self.problem = problem


def expect(holds: bool, rule: Rule, rendition: str, problem: str) -> None:
    """Raises Unsound unless `holds`."""
    if not holds:
        raise Unsound(rule, rendition, problem)


def told(unsound: Unsound) -> str:
    """For whoever uploaded it: the decoder's own words name folders of ours."""
    problem = "its decoder complains" if unsound.rule is Rule.DECODE else unsound.problem
    return f"{errors.VERIFY_FAILED.message} Rule {unsound.rule} of {unsound.rendition}: {problem}."


def refusal_of(unsound: Unsound) -> Refusal:
    """What was made is at fault, and would be again."""
    return Refusal(errors.VERIFY_FAILED, told(unsound), details=str(unsound))
