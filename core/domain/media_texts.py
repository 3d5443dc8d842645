"""Subtitles that are uploaded beside a film: which are taken, and which a film's next packaging offers.

Decides what is a subtitle file. The bytes lie in the object store; how they become segments is the transcoder's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from core import errors
from core.database import Tx
from core.domain.media_subtitles import MAX_BYTES, MAX_CUES, TextKind, parse_subtitles, read_text
from core.errors import Refusal, bad_field
from core.queries import load

SQL = load("core.domain", "media_texts.sql")

KINDS: tuple[TextKind, ...] = ("subtitles", "captions", "forced")
MAX_TRACKS = 64
_MAX_LABEL = 100


class NewText(msgspec.Struct, frozen=True):
    """What the uploader says of a subtitle file: whose it is, and what people read in a player's menu."""

    content_id: UUID
    language: str
    label: str
    kind: TextKind = "subtitles"
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class GivenText:
    """One uploaded track and where its file lies."""

    track_id: UUID
    kind: TextKind
    language: str
    label: str
    is_default: bool
    storage_key: str


# --------------------------------------------------------------------------------------------------------------- RULES


def check_text(text: NewText, length_bytes: int) -> Refusal | None:
    """Refuses a language that is no BCP 47 tag, a label that would break a playlist's line, and a file beyond any film's words."""
    if not re.fullmatch(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*", text.language):
        return bad_field("language", "must be a BCP 47 tag such as `en` or `pt-BR`")
    if not text.label.strip() or len(text.label) > _MAX_LABEL or not text.label.isprintable() or '"' in text.label:
        return bad_field("label", f"must be 1 to {_MAX_LABEL} printable characters without a double quote")
    if text.kind not in KINDS:
        return bad_field("kind", f"must be one of {', '.join(KINDS)}")
    if length_bytes > MAX_BYTES:
        return Refusal(errors.BODY_TOO_LARGE, f"A subtitle file has at most {MAX_BYTES} bytes.")
    return None


def check_document(data: bytes) -> Refusal | None:
    """Refuses what holds no cue in any of the formats, or more than a film of a day would."""
    cues = parse_subtitles(read_text(data))
    if not cues:
        return Refusal(errors.NO_SUBTITLES)
    if len(cues) > MAX_CUES:
        return Refusal(errors.NO_SUBTITLES, f"The file has {len(cues)} cues; at most {MAX_CUES} are accepted.")
    return None


# --------------------------------------------------------------------------------------------------------------- TRACKS


async def check_place(tx: Tx, content_id: UUID) -> None:
    """Raises Refusal unless the title is there, with a picture if it was encoded already, and may have one more track."""
    if await tx.value(SQL["content_seen"], content_id) is None:
        raise Refusal(errors.CONTENT_NOT_FOUND)
    if await tx.value(SQL["content_sound_alone"], content_id):
        raise bad_field("subtitles_of", "is sound alone: it has no picture to show words on")
    if await tx.value(SQL["text_files_count"], content_id) >= MAX_TRACKS:
        raise Refusal(errors.CONFLICT, f"A title has at most {MAX_TRACKS} subtitle tracks.", hint="Delete one first.")


async def put_text(tx: Tx, file_id: UUID, text: NewText) -> UUID:
    """Makes the stored file a track of the title, in place of an earlier file of the same kind, language and label; its id."""
    row = await tx.one(
        SQL["text_put"], text.content_id, file_id, text.kind, text.language, text.label.strip(), text.is_default
    )
    assert row is not None  # inserted or updated
    if text.is_default:
        await tx.run(SQL["texts_undefault"], text.content_id, row["id"])
    if row["earlier_file_id"] is not None:
        await tx.run(SQL["file_retire"], row["earlier_file_id"])
    return UUID(str(row["id"]))


async def given_texts(tx: Tx, content_id: UUID) -> tuple[GivenText, ...]:
    """The tracks that were uploaded for a title, the oldest first."""
    return tuple(
        GivenText(row["id"], row["kind"], row["language"], row["label"], row["is_default"], row["storage_key"])
        for row in await tx.many(SQL["texts_given"], content_id)
    )


def texts_digest(texts: Sequence[GivenText]) -> str:
    """Names what a generation is packaged with: other tracks, other files, other words in a menu make another."""
    told = [(t.kind, t.language, t.label, t.is_default, t.storage_key) for t in texts]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()
