"""A heartbeat is checked to the field, and what is refused changes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BAD_BEAT, BAD_JSON, BODY_TOO_LARGE, WRONG_CONTENT, Refusal
from core.ids import DEFAULT_TENANT, uuid7
from edge.progress.beat import Source, check, decode

NOW = 1_800_000_000.0
CONTENT = uuid4()
SOURCE = Source(DEFAULT_TENANT, uuid4(), uuid7(), CONTENT, 60_000)


def wire(**changes: object) -> dict[str, object]:
    beat: dict[str, object] = {
        "content_id": str(CONTENT), "position_s": 12.5, "duration_s": 60.0, "event": "beat", "seq": 3,
        "at": datetime.fromtimestamp(NOW, UTC).isoformat(), "watched_s": 5, "device_type": "web", "event_id": str(uuid4()),
    }  # fmt: skip
    beat.update(changes)
    return {key: value for key, value in beat.items() if value is not ...}


def refusal_of(body: object, source: Source = SOURCE) -> Refusal:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Refusal) as refused:
        _, beats, prefix = decode(raw)
        check(beats, source, prefix, NOW)
    return refused.value


def test_one_many_and_a_beacon_are_taken() -> None:
    for body, token in ((wire(), None), ([wire(), wire()], None), ({"token": "t", "beats": [wire()]}, "t")):
        said, beats, prefix = decode(json.dumps(body).encode())
        assert said == token
        taken = check(beats, SOURCE, prefix, NOW)
        assert (taken[0].position_ms, taken[0].watched_ms, taken[0].duration_ms) == (12_500, 5_000, 60_000)
        assert taken[0].session_id == SOURCE.session_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_s", -1), ("position_s", "12"), ("position_s", None), ("position_s", ...), ("position_s", 62), ("position_s", 1e12),
        ("duration_s", -1), ("duration_s", ...), ("event", "dance"), ("event", ...), ("seq", -1), ("seq", 1.5), ("seq", 2**60),
        ("at", "yesterday"), ("at", "2026-11-20T17:00:00"), ("at", 1_800_000_000), ("watched_s", -5), ("watched_s", 1e9),
        ("event_id", "x"), ("event_id", ...), ("device_type", "x" * 33), ("playlist_id", "x"), ("content_id", "x"),
        ("at", (datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=6)).isoformat()),
        ("at", (datetime.fromtimestamp(NOW, UTC) - timedelta(days=8)).isoformat()),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: object) -> None:
    alone = refusal_of(wire(**{field: value}))
    assert (alone.code, alone.faults[0].path) == (BAD_BEAT, field)
    third = refusal_of([wire(), wire(), wire(**{field: value})])
    assert (third.code, third.faults[0].path) == (BAD_BEAT, f"beats[2].{field}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[",
        b"NaN",
        b'{"position_s": NaN}',
        b'{"position_s": Infinity}',
        b"\xff\xfe",
        b"[" * 60_000,
        b'"x"' * 2,
        b"{}{}",
    ],
)
def test_what_is_no_json_is_refused_as_that(body: bytes) -> None:
    assert refusal_of(body).code in (BAD_JSON, BAD_BEAT)


def test_too_many_and_too_much_are_refused() -> None:
    assert refusal_of([wire()] * 101).code is BAD_BEAT
    assert refusal_of([]).code is BAD_BEAT
    assert refusal_of(b" " * 70_000).code is BODY_TOO_LARGE


def test_a_beat_for_another_title_or_session_than_the_tokens_is_refused() -> None:
    assert refusal_of(wire(content_id=str(uuid4()))).code is WRONG_CONTENT
    assert refusal_of(wire(session_id=str(uuid4()))).faults[0].path == "session_id"


def test_with_an_access_token_the_session_must_be_named() -> None:
    assert refusal_of(wire(), Source(DEFAULT_TENANT, uuid4(), None, CONTENT, 60_000)).faults[0].path == "session_id"


def test_the_titles_own_length_counts_not_what_the_client_says() -> None:
    assert refusal_of(wire(position_s=500, duration_s=1000)).faults[0].path == "position_s"


def test_a_last_frame_past_the_end_is_the_end() -> None:
    _, beats, prefix = decode(json.dumps(wire(position_s=60.4)).encode())
    assert check(beats, SOURCE, prefix, NOW)[0].position_ms == 60_000


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_and_never_fail(body: bytes) -> None:
    try:
        _, beats, prefix = decode(body)
        check(beats, SOURCE, prefix, NOW)
    except Refusal as refusal:
        assert 400 <= refusal.code.status < 500


def at(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


def session_begun(seconds_ago: float) -> Source:
    start_ms = int((NOW - seconds_ago) * 1000)
    return Source(DEFAULT_TENANT, uuid4(), UUID(int=start_ms << 80 | 7 << 76 | 2 << 62 | 1), CONTENT, 60_000)


def taken_at(source: Source, *wires: dict[str, object]) -> list[float]:
    """When the beats are taken to have been made, in seconds from now."""
    _, beats, prefix = decode(json.dumps(wires).encode())
    return [round(beat.at_ms / 1000 - NOW, 3) for beat in check(beats, source, prefix, NOW)]


@pytest.mark.parametrize("hours", [-30 * 24, -26, -3, 3, 26, 30 * 24])
def test_a_clock_off_by_hours_is_corrected_by_what_it_says_when_it_sends(hours: int) -> None:
    off = hours * 3600
    sent = {"sent_at": at(off)}
    source = session_begun(600)
    assert taken_at(source, wire(at=at(off - 20), **sent), wire(at=at(off - 5), **sent)) == [-20, -5]


def test_a_clock_that_is_nearly_right_is_believed() -> None:
    assert taken_at(session_begun(600), wire(at=at(-3), sent_at=at(2))) == [-3]


@pytest.mark.parametrize("behind_s", [11, 3600, 3 * 3600, 25 * 3600])
def test_a_clock_that_is_behind_shows_by_beats_from_before_their_session(behind_s: int) -> None:
    source = session_begun(0)
    assert taken_at(source, wire(at=at(-behind_s)), wire(at=at(-behind_s - 15)))[0] == 0


def test_beats_queued_offline_keep_their_times() -> None:
    source = session_begun(3 * 3600)
    assert taken_at(source, wire(at=at(-7200)), wire(at=at(-60))) == [-7200, -60]


def test_a_beat_from_the_future_of_its_own_senders_clock_is_refused() -> None:
    for hours in (-3, 0, 3):
        off = hours * 3600
        refusal = refusal_of(wire(at=at(off + 400), sent_at=at(off)))
        assert (refusal.code, refusal.faults[0].path) == (BAD_BEAT, "at")


def test_a_beat_is_never_later_than_its_arrival_nor_earlier_than_its_session() -> None:
    assert taken_at(session_begun(600), wire(at=at(200))) == [0]
    assert taken_at(session_begun(600), wire(at=at(-50 * 3600))) == [-600]


def test_when_a_session_began_is_read_from_our_own_id_and_not_from_the_future() -> None:
    for start_s, wanted_s in ((-600, -600), (900, 0)):
        source = Source(DEFAULT_TENANT, uuid4(), None, CONTENT, 60_000)
        session = UUID(int=int((NOW + start_s) * 1000) << 80 | 7 << 76 | 2 << 62 | 1)
        _, beats, prefix = decode(json.dumps(wire(session_id=str(session))).encode())
        assert check(beats, source, prefix, NOW)[0].session_at_ms == int((NOW + wanted_s) * 1000)
