"""Says which tracks of a file a title does without, for whoever uploaded it. Pure."""

from __future__ import annotations

from transcoder.languages import language_name, language_tag
from transcoder.source import MAX_AUDIO_TRACKS, MAX_TEXT_TRACKS, LeftOut, Source

_NAMES = {"video": "picture", "audio": "sound", "subtitles": "subtitle"}
_MOST = {"video": "one", "audio": f"{MAX_AUDIO_TRACKS}", "subtitles": f"{MAX_TEXT_TRACKS}"}


def warnings_of(source: Source) -> tuple[str, ...]:
    """A sentence for each track that was left out; they are warnings of the job, which goes on without them."""
    return tuple(_sentence(track) for track in source.left_out)


def _sentence(track: LeftOut) -> str:
    called = [name for name in (language_name(language_tag(track.language)), track.title) if name]
    about = f" ({', '.join(called)})" if called else ""
    match track.why:
        case "codec":
            reason = f"its codec, {track.codec}, is not accepted"
        case "damaged":
            reason = "nothing of it can be decoded"
        case "too_many":
            reason = f"a title has at most {_MOST[track.kind]} of them"
    return f"A {_NAMES[track.kind]} track{about} was left out: {reason}."
