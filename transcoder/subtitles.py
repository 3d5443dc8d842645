"""Lays out a generation's subtitles: segments, playlists, and what the manifests say of them. Blocking, files only.

Decides names and folders. Keeps with the generation what it takes to do so once more without the film.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import msgspec

from core.domain.media_results import Rendition
from transcoder import playlists
from transcoder.captions import cut_vtt, write_vtt
from transcoder.dash import Words
from transcoder.playlists import Choice, Piece
from transcoder.texts import CHARACTERISTICS, DASH_ROLES, Text, choose_texts

FOLDER = "subtitles"
PLAYLIST = "playlist.m3u8"
WHOLE = "whole.vtt"
GROUP = "text"
BASIS = "basis.json"
"""Of every generation with a picture; players are never given it."""
# Subtitles are small: fewer, longer segments than the picture's.
_SEGMENTS_JOINED = 8


class Basis(msgspec.Struct, frozen=True):
    """What a repackaging needs to know of the film: its length, its segments' (both exact, in seconds), and its own subtitles.

    All of them, those too that others are offered in place of: those may be taken away again.
    """

    duration: str
    segment: str
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """Subtitles in a folder: what the master, the DASH manifest and the database say of them."""

    choices: tuple[Choice, ...] = ()
    words: tuple[Words, ...] = ()
    renditions: tuple[Rendition, ...] = ()


def keep_basis(out: Path, duration: Fraction, segment: Fraction, texts: Sequence[Text]) -> Basis:
    """Writes down what is needed to package `texts` again, with others beside them. Raises OSError."""
    basis = Basis(str(duration), str(segment), tuple(texts))
    (out / BASIS).write_bytes(msgspec.json.encode(basis))
    return basis


def lay_subtitles(out: Path, basis: Basis, given: Sequence[Text]) -> Laid:
    """Makes a rendition of each of the film's own and `given` texts that is to be offered. Raises OSError."""
    names: set[str] = set()
    folders: set[str] = set()
    default = next((text for text in given if text.is_default), None)
    chosen = choose_texts(basis.texts, given)
    laid = [_lay(out, basis, text, names, folders, is_default=text is default) for text in chosen]
    return Laid(tuple(one[0] for one in laid), tuple(one[1] for one in laid), tuple(one[2] for one in laid))


def _lay(
    out: Path, basis: Basis, text: Text, names: set[str], folders: set[str], *, is_default: bool
) -> tuple[Choice, Words, Rendition]:
    name = unused(text.name, names)
    folder = f"{FOLDER}/{unused(text.language, folders, '-')}"
    duration = Fraction(basis.duration)
    segments, pieces = _segments(duration, Fraction(basis.segment)), []
    (out / folder).mkdir(parents=True)
    for at, (length, document) in enumerate(zip(segments, cut_vtt(text.cues, segments), strict=True)):
        data = document.encode()
        (out / folder / f"{at}.vtt").write_bytes(data)
        pieces.append(Piece(f"{at}.vtt", length, len(data)))
    playlist = playlists.media_playlist(pieces, playlists.target_duration(pieces), init=None)
    (out / folder / PLAYLIST).write_text(playlist, "utf-8")
    whole = write_vtt(text.cues).encode()
    (out / folder / WHOLE).write_bytes(whole)
    choice = Choice(
        "SUBTITLES", GROUP, name, text.language, f"{folder}/{PLAYLIST}", is_default, is_forced=text.kind == "forced",
        characteristics=CHARACTERISTICS[text.kind],
    )  # fmt: skip
    words = Words(f"{folder}/{WHOLE}", text.language, max(1, int(8 * len(whole) / duration)), DASH_ROLES[text.kind])
    rendition = Rendition(
        "subtitles", name, f"{folder}/{PLAYLIST}", "wvtt", language=text.language, segment_count=len(pieces),
        size_bytes=sum(p.size_bytes for p in pieces), duration_ms=int(duration * 1000 + Fraction(1, 2)),
    )  # fmt: skip
    return choice, words, rendition


def _segments(duration: Fraction, segment: Fraction) -> list[Fraction]:
    whole, left, lengths = segment * _SEGMENTS_JOINED, duration, []
    while left > 0:
        lengths.append(min(whole, left))
        left -= whole
    return lengths


def unused(name: str, taken: set[str], joint: str = " ") -> str:
    """`name`, with a number behind it if it is taken; it is taken then."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}{joint}{number}"
    taken.add(candidate)
    return candidate
