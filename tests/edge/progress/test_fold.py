"""The fold does not depend on the order of arrival."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import DEFAULT_TENANT
from edge.progress.beat import Beat
from edge.progress.fold import STEP, Batch, is_complete, order_of

START_MS = 1_800_000_000_000
USERS = [uuid4() for _ in range(2)]
CONTENTS = [uuid4() for _ in range(2)]


def session(started_ms: int, n: int) -> UUID:
    return UUID(int=(started_ms << 80) | (0x7 << 76) | (0x2 << 62) | n)


def beat(**changes: object) -> Beat:
    facts: dict[str, object] = {
        "event_id": uuid4(), "session_id": session(START_MS, 1), "tenant_id": DEFAULT_TENANT, "user_id": USERS[0], "content_id": CONTENTS[0],
        "playlist_id": None, "position_ms": 1000, "duration_ms": 60_000, "watched_ms": 500, "event": "beat", "seq": 1,
        "at_ms": START_MS + 1000, "device_type": None,
    }  # fmt: skip
    merged = {**facts, **changes}
    started: UUID = merged["session_id"]  # type: ignore[assignment]
    return Beat(**{"session_at_ms": started.int >> 80, "is_bot": False, **merged})  # type: ignore[arg-type]


beats = st.lists(
    st.builds(
        lambda user, content, started, seq, position, watched, event, duration, is_bot: beat(
            user_id=user, content_id=content, session_id=session(START_MS + started * 1000, started), seq=seq, position_ms=position,
            watched_ms=watched, at_ms=START_MS + 100_000 + seq, event=event, duration_ms=duration, is_bot=is_bot,
        ),
        st.sampled_from([*USERS, None]), st.sampled_from(CONTENTS), st.integers(0, 3), st.integers(0, 20),
        st.integers(0, 60_000), st.integers(0, 5000), st.sampled_from(["start", "beat", "beat", "beat", "pause", "seek", "ended"]),
        # A token's title has one length; who names a title with an access token may say another each time.
        st.sampled_from([60_000, 60_000, 60_000, 60_300, 0]), st.booleans(),
    ),
    max_size=40,
    unique_by=lambda b: (b.session_id, b.seq),
)  # fmt: skip


@given(beats, st.randoms(use_true_random=False))
def test_whatever_the_order_the_fold_is_the_same(sent: list[Beat], shuffle: random.Random) -> None:
    shuffled = sent[:]
    shuffle.shuffle(shuffled)
    one, other = Batch.of(sent), Batch.of(shuffled)
    assert one.positions == other.positions
    assert one.sessions == other.sessions


@given(beats, st.integers(1, 7))
def test_the_fold_is_the_same_in_however_many_pieces_it_is_added(sent: list[Beat], size: int) -> None:
    pieces: Batch[Beat] = Batch()
    for at in range(0, len(sent), size):
        pieces.add(sent[at : at + size])
    for _ in pieces.fold():
        pass
    whole = Batch.of(sent)
    assert (pieces.beats, pieces.sessions, pieces.positions) == (whole.beats, whole.sessions, whole.positions)


def test_others_have_their_turn_while_many_sessions_are_folded() -> None:
    sent = [beat(session_id=session(START_MS, n), seq=n) for n in range(2 * STEP + 1)]
    batch: Batch[Beat] = Batch()
    batch.add(sent)
    assert sum(1 for _ in batch.fold()) == 2
    assert len(batch.sessions) == len(sent)


@given(beats)
def test_the_newest_by_session_then_count_wins_and_time_adds_up(sent: list[Beat]) -> None:
    batch = Batch.of(sent)
    assert batch.positions.keys() == {(b.tenant_id, b.user_id, b.content_id) for b in sent if b.user_id is not None}
    for (_, user, content), folded in batch.positions.items():
        mine = [b for b in sent if (b.user_id, b.content_id) == (user, content)]
        assert folded.newest == max(mine, key=order_of)
        assert folded.watched_ms == sum(b.watched_ms for b in mine)
        assert folded.completed == any(is_complete(b.position_ms, b.duration_ms, b.event) for b in mine)
    for (_, started, user, content), played in batch.sessions.items():
        mine = [b for b in sent if (b.session_id, b.user_id, b.content_id) == (started, user, content)]
        assert played.newest == max(mine, key=order_of)
        assert (played.watched_ms, played.last_at_ms) == (sum(b.watched_ms for b in mine), max(b.at_ms for b in mine))
        assert played.stopped == any(b.event in ("ended", "pause") for b in mine)
        assert played.is_bot == any(b.is_bot for b in mine)
    assert sum(played.watched_ms for played in batch.sessions.values()) == sum(b.watched_ms for b in sent)


def test_an_older_session_that_reports_late_does_not_move_a_newer_ones_point() -> None:
    old = beat(session_id=session(START_MS, 1), seq=99, position_ms=50_000, at_ms=START_MS + 999_000)
    new = beat(session_id=session(START_MS + 60_000, 2), seq=1, position_ms=2_000, at_ms=START_MS + 61_000)
    assert Batch.of([new, old]).positions[DEFAULT_TENANT, USERS[0], CONTENTS[0]].newest == new


@pytest.mark.parametrize(
    ("position_s", "duration_s", "event", "complete"),
    [
        (95, 100, "beat", True), (94.9, 100, "beat", False), (50, 100, "ended", True), (0, 0, "ended", False),
        (7171, 7200, "beat", True), (6840, 7200, "beat", True), (6839, 7200, "beat", False),
        (370, 400, "beat", True), (369, 400, "beat", False), (31, 60, "beat", False), (57, 60, "beat", True),
    ],
)  # fmt: skip
def test_complete_is_95_percent_or_the_last_half_minute_of_something_long(
    position_s: float, duration_s: float, event: str, complete: bool
) -> None:
    assert is_complete(int(position_s * 1000), int(duration_s * 1000), event) is complete
