"""Common Media Client Data (CTA-5004): what players say about themselves with each request, taken in and summed up.

Reads the `CMCD` query parameter and the four `CMCD-*` headers. Players' words are unchecked claims of strangers: they are
counted, bounded, and never bear on an answer. Session and content ids in them are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from edge.api.observe import (
    CMCD_BITRATE,
    CMCD_BUFFER,
    CMCD_REPORTS,
    CMCD_STARTUPS,
    CMCD_STARVED,
    CMCD_THROUGHPUT,
)

HEADERS = ("CMCD-Object", "CMCD-Request", "CMCD-Session", "CMCD-Status")
MAX_CHARS = 4096
MAX_PAIRS = 64
MAX_KBPS = 1_000_000
MAX_MS = 24 * 3600 * 1000

# A key, and nothing (true), a quoted string with \" and \\ escaped, or a bare number, token or list.
_PAIR = re.compile(
    r'[ \t]*([A-Za-z][A-Za-z0-9._-]{0,63})(?:=(?:"((?:[^"\\\x00-\x1f]|\\["\\])*)"|([^",\s=]{1,256})))?[ \t]*(?:,|$)'
)
_ESCAPE = re.compile(r'\\(["\\])')
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_OBJECTS = frozenset({"m", "a", "v", "av", "i", "c", "tt", "k", "o"})


@dataclass(frozen=True, slots=True)
class Report:
    """The part of one request's data that is summed up. None: not said, or not believable."""

    object_type: str | None
    """One of m, a, v, av, i, c, tt, k, o."""
    bitrate_kbps: int | None
    throughput_kbps: int | None
    buffer_ms: int | None
    was_starved: bool
    """The buffer ran empty between the last request and this one."""
    is_startup: bool
    """Needed urgently: start, seek or recovery."""


def parse(text: str) -> dict[str, str | bool] | None:
    """The key-value pairs of one header or of the decoded parameter; None when it is not CMCD to the letter.

    A key said twice counts as first said.
    """
    pairs: dict[str, str | bool] = {}
    if len(text) > MAX_CHARS or text.rstrip(" \t").endswith(","):
        return None
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None or len(pairs) >= MAX_PAIRS:
            return None
        key, quoted, bare = match.groups()
        value: str | bool = True
        if quoted is not None:
            value = _ESCAPE.sub(r"\1", quoted)
        elif bare is not None:
            value = bare
        pairs.setdefault(key, value)
        at = match.end()
    return pairs or None


def report(pairs: Mapping[str, str | bool]) -> Report:
    """What is summed up of the pairs."""
    kind = pairs.get("ot")
    return Report(
        kind if isinstance(kind, str) and kind in _OBJECTS else None,
        _number(pairs.get("br"), MAX_KBPS),
        _number(pairs.get("mtp"), MAX_KBPS),
        _number(pairs.get("bl"), MAX_MS),
        pairs.get("bs") is True,
        pairs.get("su") is True,
    )


def _number(value: str | bool | None, most: int) -> int | None:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or int(value) > most:
        return None
    return int(value)


def said(query: Mapping[str, str], headers: CIMultiDictProxy[str]) -> str | None:
    """What a request says, headers first (the standard wants one or the other); None when it says nothing."""
    lines = [line for name in HEADERS for line in headers.getall(name, ())]
    if lines:
        return ",".join(lines)
    return query.get("CMCD")


def observe(request: web.BaseRequest) -> None:
    """Adds what the request says to this process's sums."""
    text = said(request.query, request.headers)
    if text is None:
        return
    pairs = parse(text)
    if pairs is None:
        CMCD_REPORTS.labels("malformed").inc()
        return
    CMCD_REPORTS.labels("taken").inc()
    found = report(pairs)
    if found.bitrate_kbps is not None and found.object_type in (None, "v", "av", "a"):
        CMCD_BITRATE.observe(found.bitrate_kbps)
    if found.throughput_kbps is not None:
        CMCD_THROUGHPUT.observe(found.throughput_kbps)
    if found.buffer_ms is not None:
        CMCD_BUFFER.observe(found.buffer_ms / 1000)
    if found.was_starved:
        CMCD_STARVED.inc()
    if found.is_startup:
        CMCD_STARTUPS.inc()
