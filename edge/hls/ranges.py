"""Range and conditional requests (RFC 9110 sections 13 and 14), decided without touching bytes.

One range is served; several, or anything malformed, is answered with the whole object, as section 14.2 allows: a list of
overlapping ranges (CVE-2011-3192) then costs no more than a plain GET.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Whole:
    """200 with every byte."""


@dataclass(frozen=True, slots=True)
class Part:
    """206 with bytes `first` up to, not including, `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416: the range lies outside."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """304: the client has it."""


Decision = Whole | Part | Unsatisfiable | NotModified


def decide(
    size_bytes: int, etag: str, *, if_none_match: str | None, if_range: str | None, range_: str | None
) -> Decision:
    """What to send of an object of `size_bytes` with `etag` (quoted, weak for text), in the order of section 13.2.2."""
    if if_none_match is not None and matches(if_none_match, etag):
        return NotModified()
    if range_ is None:
        return Whole()
    if if_range is not None and if_range.strip() != etag:
        # A weak validator or a date never matches: our objects carry neither.
        return Whole()
    match = _ONE_RANGE.fullmatch(range_.strip())
    if match is None:
        return Whole()
    first, last = match.groups()
    if not first and not last:
        return Whole()
    if not first:
        length = min(int(last), size_bytes)
        return Part(size_bytes - length, size_bytes) if length else Unsatisfiable()
    begin = int(first)
    if last and int(last) < begin:
        return Whole()
    if begin >= size_bytes:
        return Unsatisfiable()
    return Part(begin, min(int(last) + 1, size_bytes) if last else size_bytes)


def matches(header: str, etag: str) -> bool:
    """If-None-Match uses the weak comparison (section 13.1.2)."""
    if header.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag.removeprefix("W/") for tag in header.split(","))
