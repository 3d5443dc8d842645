"""Reads subtitle files, WebVTT, SubRip and (Advanced) SubStation Alpha, into cues. Pure; nothing of them is trusted.

What is kept is time, text, the tags that WebVTT knows and whether a cue stands at the top: a player shows the rest its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

TextKind = Literal["subtitles", "captions", "forced"]
"""Speech in words; speech and sounds, for those who do not hear them; only what everybody needs, such as signs."""
KINDS: tuple[TextKind, ...] = ("subtitles", "captions", "forced")
MAX_BYTES = 4 << 20
MAX_CUES = 50_000

_TIMING = re.compile(
    r"^((?:\d{1,4}:)?\d{1,2}:\d{2}[.,]\d{1,3})[ \t]*-->[ \t]*((?:\d{1,4}:)?\d{1,2}:\d{2}[.,]\d{1,3})(?:[ \t]+(.*))?$"
)
_ASS_TIME = re.compile(r"^(\d{1,4}):(\d{1,2}):(\d{1,2})[.:](\d{1,3})$")
_SETTING = re.compile(r"(?:vertical|line|position|size|align|region):[A-Za-z0-9.,%-]{1,20}")
# W3C WebVTT 4.2.2: its tags, and time stamps within a text.
_TAG = re.compile(r"</?(?:b|i|u|c|v|ruby|rt|lang)(?:[. ][^<>\n]{0,200})?>|<(?:\d{2,}:)?\d\d:\d\d\.\d{3}>")
_UNKNOWN_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_ENTITY = re.compile(r"&(?:amp|lt|gt|lrm|rlm|nbsp|#\d{1,7}|#x[0-9A-Fa-f]{1,6});")
_OVERRIDE = re.compile(r"\{[^{}]*\}")
_TOP = re.compile(r"\\an?[789]\b")
_DRAWING = re.compile(r"\\p[1-9]")
_TOP_SETTING = "line:0"


@dataclass(frozen=True, slots=True)
class Cue:
    """One text on the screen, from `start_ms` to `end_ms`; `settings` are WebVTT's."""

    start_ms: int
    end_ms: int
    settings: str
    text: str


def read_text(data: bytes) -> str:
    """A subtitle file's text: by its byte order mark, as UTF-8, or as the Windows-1252 that old ones are written in."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def parse_subtitles(document: str) -> list[Cue]:
    """The cues of a file in any of the formats, in order of time; what is no cue, or ends before it starts, is skipped."""
    document = document.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    found = _ass(document) if document.lstrip()[:20].lower().startswith("[script info]") else _blocks(document)
    cues = [cue for cue in found if cue.text and cue.end_ms > cue.start_ms]
    return sorted(cues, key=lambda cue: (cue.start_ms, cue.end_ms))


def _blocks(document: str) -> Iterator[Cue]:
    """WebVTT and SubRip: blocks of a name, a line with two times, and text."""
    for block in re.split(r"\n[ \t]*\n+", document):
        lines = block.strip("\n").split("\n")
        at = next((n for n, line in enumerate(lines[:2]) if "-->" in line), None)
        timing = _TIMING.match(lines[at].strip()) if at is not None else None
        if at is None or timing is None:
            continue
        # An arrow within a text would end the cue in some players.
        text = "\n".join(line for line in lines[at + 1 :] if "-->" not in line)
        settings = " ".join(_SETTING.findall(timing.group(3) or ""))
        if _has_override(text, _TOP):
            settings = settings or _TOP_SETTING
        yield Cue(_read_ms(timing.group(1)), _read_ms(timing.group(2)), settings, write_text(text))


def _ass(document: str) -> Iterator[Cue]:
    """SubStation Alpha: `Dialogue:` lines in the order of fields that `Format:` gives; the text is the last."""
    fields: list[str] = []
    section = ""
    for line in document.split("\n"):
        head, _, rest = line.partition(":")
        if line.startswith("["):
            section = line.strip().lower()
        elif section == "[events]" and head == "Format":
            fields = [name.strip().lower() for name in rest.split(",")]
        elif section == "[events]" and head == "Dialogue" and {"start", "end", "text"} <= set(fields):
            values = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            start, end = (_ASS_TIME.match(values.get(name, "").strip()) for name in ("start", "end"))
            text = values.get("text", "")
            if start is None or end is None or _has_override(text, _DRAWING):
                continue
            settings = _TOP_SETTING if _has_override(text, _TOP) else ""
            text = text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
            yield Cue(_read_ass_ms(start), _read_ass_ms(end), settings, write_text(text))


def _has_override(text: str, what: re.Pattern[str]) -> bool:
    return any(what.search(override) for override in _OVERRIDE.findall(text))


def write_text(text: str) -> str:
    """A cue's text as WebVTT takes it: without overrides and tags it does not know, its own left, all else escaped, no empty line."""
    text = _OVERRIDE.sub("", text)
    parts, at = [], 0
    for tag in _TAG.finditer(text):
        parts += [_escape(text[at : tag.start()]), tag.group()]
        at = tag.end()
    parts.append(_escape(text[at:]))
    # Within a tag too, an arrow would be taken for a cue's times.
    whole = "".join(parts).replace("-->", "--&gt;")
    return "\n".join(line.strip() for line in whole.split("\n") if line.strip())


def _escape(text: str) -> str:
    text = _UNKNOWN_TAG.sub("", text)
    parts, at = [], 0
    for entity in _ENTITY.finditer(text):
        parts += [text[at : entity.start()].replace("&", "&amp;"), entity.group()]
        at = entity.end()
    parts.append(text[at:].replace("&", "&amp;"))
    return "".join(parts).replace("<", "&lt;").replace(">", "&gt;")


def _read_ms(stamp: str) -> int:
    clock, fraction = stamp.replace(",", ".").split(".")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return 1000 * seconds + int(fraction.ljust(3, "0"))


def _read_ass_ms(found: re.Match[str]) -> int:
    hours, minutes, seconds, fraction = found.groups()
    return 1000 * (3600 * int(hours) + 60 * int(minutes) + int(seconds)) + int(fraction.ljust(3, "0"))
