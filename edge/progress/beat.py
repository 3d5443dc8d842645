"""One heartbeat: its shape on the wire, its checks, its form in the stream. No IO and no clock of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.errors import BAD_BEAT, BAD_JSON, BODY_TOO_LARGE, WRONG_CONTENT, Fault, Refusal

MAX_BEATS = 100
MAX_BODY_BYTES = 64 * 1024
MAX_AHEAD_S = 300
MAX_AGE_S = 7 * 24 * 3600
# A clock this far off is wrong; less is the network, or a second's drift.
CLOCK_SLACK_S = 10
# Without `sent_at` a clock that is behind shows by beats from before their session; further off it is no matter of hours.
MAX_BEHIND_S = 26 * 3600
# Players report a last frame slightly past the container's duration.
POSITION_SLACK_S = 1.0

# Where a UUID says that it is of version 7 (RFC 9562): UUID.version takes four times as long as this comparison.
_VERSION_VARIANT = 0xF << 76 | 0b11 << 62
_VERSION_7 = 7 << 76 | 0b10 << 62

Seconds = Annotated[float, msgspec.Meta(ge=0, le=7 * 24 * 3600)]
Event = Literal["start", "beat", "pause", "seek", "ended"]


class WireBeat(msgspec.Struct, frozen=True, gc=False):
    """A beat as a client sends it (docs/http-api.md)."""

    content_id: UUID
    position_s: Seconds
    duration_s: Seconds
    event: Event
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    event_id: UUID
    watched_s: Annotated[float, msgspec.Meta(ge=0, le=24 * 3600)] = 0.0
    device_type: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    playlist_id: UUID | None = None
    session_id: UUID | None = None
    sent_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """What the client's clock says when it sends, or sends again."""


class Envelope(msgspec.Struct, frozen=True):
    """What `navigator.sendBeacon` sends: it cannot set a header, so the token rides along."""

    token: str
    beats: Annotated[list[WireBeat], msgspec.Meta(min_length=1, max_length=MAX_BEATS)]


class Beat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A beat as the stream holds it: authorised, checked, in whole milliseconds."""

    event_id: UUID
    session_id: UUID
    tenant_id: UUID
    user_id: UUID | None
    content_id: UUID
    playlist_id: UUID | None
    position_ms: int
    duration_ms: int
    watched_ms: int
    event: Event
    seq: int
    at_ms: int
    device_type: str | None
    session_at_ms: int
    """When the session began."""
    is_bot: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends: what the playback token, or an access token with a looked-up title, vouches for."""

    tenant_id: UUID
    user_id: UUID | None
    session_id: UUID | None
    content_id: UUID | None
    duration_ms: int | None
    is_bot: bool = False


class _Wrong(Exception):  # noqa: N818 - states the fact
    """What is wrong with one beat: the field, and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why


_many = msgspec.json.Decoder(Annotated[list[WireBeat], msgspec.Meta(min_length=1, max_length=MAX_BEATS)])
_one = msgspec.json.Decoder(WireBeat)
_envelope = msgspec.json.Decoder(Envelope)
_PATH = re.compile(r" - at `\$([^`]*)`$")


def decode(body: bytes) -> tuple[str | None, list[WireBeat], str]:
    """The token in the body (if any), the beats, and the path prefix of the first beat for messages.

    Raises Refusal: 400 PS101 for what is no JSON, 413 PS103 for too much of it, 422 PS408 naming the field.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(BODY_TOO_LARGE, f"At most {MAX_BODY_BYTES} bytes and {MAX_BEATS} beats at once.")
    is_list = body.lstrip()[:1] == b"["
    try:
        if is_list:
            return None, _many.decode(body), "beats"
        try:
            return None, [_one.decode(body)], ""
        except msgspec.ValidationError:
            # Asked for second: to look for the word in a beat takes as long as half of decoding it.
            if b'"beats"' not in body:
                raise
        envelope = _envelope.decode(body)
        return envelope.token, envelope.beats, "beats"
    except msgspec.ValidationError as error:
        raise _refusal(str(error), many=is_list) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(BAD_JSON) from error


def _refusal(message: str, *, many: bool) -> Refusal:
    match = _PATH.search(message)
    why = _PATH.sub("", message)
    path = (match.group(1) if match else "").removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", why):
        path = f"{path}.{missing.group(1)}".removeprefix(".")
    path = f"beats{path}" if many else path or "beats"
    return Refusal(BAD_BEAT, f"{path}: {why}", faults=(Fault(path, why),))


def check(beats: Sequence[WireBeat], source: Source, prefix: str, now: float) -> list[Beat]:
    """The beats as they go into the stream. Raises Refusal: all of them are taken, or none is."""
    times = [beat.at.timestamp() for beat in beats]
    behind_s = clock_behind_s(times[0] if len(times) == 1 else max(times), source.session_id, now)
    now_ms = int(now * 1000)
    taken: list[Beat] = []
    for beat in beats:
        try:
            taken.append(_check_one(beat, source, now, now_ms, times[len(taken)], behind_s))
        except _Wrong as wrong:
            path = f"{prefix}[{len(taken)}].{wrong.field}" if prefix else wrong.field
            if wrong.field == "content_id":
                raise Refusal(WRONG_CONTENT, faults=(Fault(path, wrong.why),)) from None
            raise Refusal(BAD_BEAT, f"{path}: {wrong.why}", faults=(Fault(path, wrong.why),)) from None
    return taken


def clock_behind_s(newest: float, session_id: UUID | None, now: float) -> float:
    """How far the sender's clock is behind ours, when it does not say so itself (`sent_at`); 0 when that cannot be told.

    No beat is older than its session, whose id carries our own time: one that claims to be comes from a clock that is
    behind, and the newest of those sent together, made `newest` by that clock, was made about now.
    """
    if session_id is None:
        return 0.0
    before_s = (session_id.int >> 80) / 1000 - newest
    return now - newest if CLOCK_SLACK_S < before_s <= MAX_BEHIND_S else 0.0


def _check_one(beat: WireBeat, source: Source, now: float, now_ms: int, at: float, behind_s: float) -> Beat:
    """One beat, made `at` by its sender's clock. Raises _Wrong.

    Comparisons where `min` and `max` would say the same: a call of either takes 0.15 us, of 1.3 in all.
    """
    if source.content_id is not None and beat.content_id.int != source.content_id.int:
        raise _Wrong("content_id", "is not the title of the token")
    session_id = source.session_id or beat.session_id
    if session_id is None:
        raise _Wrong("session_id", "is needed with an access token: it is in the answer of /play")
    if source.session_id is not None and beat.session_id is not None and beat.session_id != source.session_id:
        raise _Wrong("session_id", "is not the session of the token")
    if beat.position_s > beat.duration_s + POSITION_SLACK_S:
        raise _Wrong("position_s", "must not exceed duration_s")
    position_ms = round(beat.position_s * 1000)
    duration_ms = source.duration_ms or round(beat.duration_s * 1000)
    if position_ms > duration_ms:
        if beat.position_s * 1000 > duration_ms + POSITION_SLACK_S * 1000:
            raise _Wrong("position_s", f"is beyond the title's {duration_ms / 1000:g} s")
        position_ms = duration_ms
    if beat.sent_at is None:
        at += behind_s
    elif abs(off_s := now - beat.sent_at.timestamp()) > CLOCK_SLACK_S:
        at += off_s
    if at > now + MAX_AHEAD_S:
        raise _Wrong("at", f"lies more than {MAX_AHEAD_S} s in the future")
    if at < now - MAX_AGE_S:
        raise _Wrong("at", f"is more than {MAX_AGE_S // 86400} days ago")
    at_ms = int(at * 1000) if at < now else now_ms
    # A session's id is a UUIDv7 of ours and carries its start. One that a client made up begins with each of its beats.
    bits = session_id.int
    session_at_ms = bits >> 80 if bits & _VERSION_VARIANT == _VERSION_7 else at_ms
    if session_at_ms > now_ms:
        session_at_ms = now_ms
    # By position: with names it is 0.4 us more.
    return Beat(
        beat.event_id, session_id, source.tenant_id, source.user_id, beat.content_id, beat.playlist_id,
        position_ms, duration_ms, round(beat.watched_s * 1000), beat.event, beat.seq,
        at_ms if at_ms > session_at_ms else session_at_ms, beat.device_type, session_at_ms, source.is_bot,
    )  # fmt: skip
