"""Subtitles on their way into a generation: those within the film's file, and those that were uploaded beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import structlog

from core.domain.media_subtitles import Cue, TextKind, parse_subtitles, read_text
from core.domain.media_texts import GivenText
from core.objects import ObjectMissing, ObjectStore
from transcoder.encode import text_file
from transcoder.languages import language_name, language_tag
from transcoder.source import Source

log = structlog.get_logger(__name__)

CHARACTERISTICS: MappingProxyType[TextKind, str | None] = MappingProxyType({
    "subtitles": None,
    "captions": "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound",
    "forced": None,
})  # fmt: skip
"""CHARACTERISTICS of EXT-X-MEDIA (Apple 4.5)."""
DASH_ROLES: MappingProxyType[TextKind, str] = MappingProxyType({
    "subtitles": "subtitle", "captions": "caption", "forced": "forced-subtitle",
})  # fmt: skip
_MARKS: MappingProxyType[TextKind, str] = MappingProxyType({
    "subtitles": "", "captions": " (SDH)", "forced": " (forced)",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """Subtitles to be offered: `language` is a BCP 47 tag."""

    kind: TextKind
    language: str
    name: str
    cues: tuple[Cue, ...]
    is_default: bool = False


def name_text(kind: TextKind, language: str) -> str | None:
    """What people read in a player's menu; None for a language that has no name here."""
    called = language_name(language)
    return f"{called}{_MARKS[kind]}" if called else None


def embedded_texts(source: Source, raw: Path) -> Iterator[Text]:
    """What was extracted from the film's own tracks into `raw`. Blocking."""
    for number, track in enumerate(source.text):
        path = text_file(raw, number)
        cues = parse_subtitles(path.read_text("utf-8", "replace")) if path.exists() else []
        language = language_tag(track.language)
        name = track.title or name_text(track.kind, language) or f"Subtitles {number + 1}"
        yield Text(track.kind, language, name, tuple(cues))


async def fetch_texts(store: ObjectStore, given: Sequence[GivenText]) -> tuple[Text, ...]:
    """What was uploaded beside the film. Raises StoreDown; one whose file is gone is left out, and said."""
    texts = []
    for track in given:
        try:
            data = await store.get(track.storage_key)
        except ObjectMissing:
            log.warning("subtitles_lost", track=str(track.track_id), key=track.storage_key)
            continue
        cues = await asyncio.to_thread(parse_subtitles, read_text(data))
        language = language_tag(track.language)
        # Whoever gave no label gave the language in its place.
        name = (name_text(track.kind, language) if track.label == track.language else None) or track.label
        texts.append(Text(track.kind, language, name, tuple(cues), track.is_default))
    return tuple(texts)


def choose_texts(embedded: Sequence[Text], given: Sequence[Text]) -> tuple[Text, ...]:
    """All that is to be offered: what was given takes the place of the film's own of its kind and language.

    A track without cues offers a choice that shows nothing; of several defaults the first stays one.
    """
    replaced = {(text.kind, text.language) for text in given}
    chosen = [text for text in embedded if (text.kind, text.language) not in replaced] + list(given)
    return tuple(text for text in chosen if text.cues)
