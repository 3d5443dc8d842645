"""Says what is going to be made, before any of it is: for whoever follows the job. Pure."""

from __future__ import annotations

from core.domain.media_results import Planned
from transcoder.ladder import Plan
from transcoder.languages import UNKNOWN, language_name, language_tag
from transcoder.source import Source
from transcoder.texts import name_text


def announce(source: Source, plan: Plan, language: str | None = None) -> tuple[Planned, ...]:
    """Every rendition of `plan`, pictures first; `language` is the title's own, for a first sound that does not say."""
    pictures = [Planned("video", rung.name, rung.codec, rung.width, rung.height, rung.max_bps) for rung in plan.rungs]
    sounds = []
    for sound in plan.sounds:
        track = source.audio[sound.track]
        tag = language_tag(track.language)
        if tag == UNKNOWN and sound.track == 0:
            tag = language_tag(language)
        name = track.title or language_name(tag) or f"Audio {sound.track + 1}"
        sounds.append(Planned("audio", name, "aac", bps=sound.bps, channels=sound.channels, language=tag))
    texts = []
    for number, text in enumerate(source.text if plan.grid is not None else ()):
        tag = language_tag(text.language)
        name = text.title or name_text(text.kind, tag) or f"Subtitles {number + 1}"
        texts.append(Planned("subtitles", name, "wvtt", language=tag))
    return (*pictures, *sounds, *texts)
