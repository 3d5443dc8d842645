"""The fold does not depend on the order of arrival."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import DEFAULT_TENANT
from edge.progress.beat import Beat
from edge.progress.fold import fold_positions, fold_sessions, is_complete, order_of

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
        lambda user, content, started, seq, position, watched: beat(
            user_id=user, content_id=content, session_id=session(START_MS + started * 1000, started), seq=seq, position_ms=position,
            watched_ms=watched, at_ms=START_MS + 100_000 + seq,
        ),
        st.sampled_from([*USERS, None]), st.sampled_from(CONTENTS), st.integers(0, 3), st.integers(0, 20),
        st.integers(0, 60_000), st.integers(0, 5000),
    ),
    max_size=40,
    unique_by=lambda b: (b.session_id, b.seq),
)  # fmt: skip


@given(beats, st.randoms(use_true_random=False))
def test_whatever_the_order_the_fold_is_the_same(sent: list[Beat], shuffle: random.Random) -> None:
    shuffled = sent[:]
    shuffle.shuffle(shuffled)
    assert fold_positions(sent) == fold_positions(shuffled)
    assert {k: v.watched_ms for k, v in fold_sessions(sent).items()} == {
        k: v.watched_ms for k, v in fold_sessions(shuffled).items()
    }


@given(beats)
def test_the_newest_by_session_then_count_wins_and_time_adds_up(sent: list[Beat]) -> None:
    for (user, content), folded in fold_positions(sent).items():
        mine = [b for b in sent if (b.user_id, b.content_id) == (user, content)]
        assert folded.newest == max(mine, key=order_of)
        assert folded.watched_ms == sum(b.watched_ms for b in mine)
        assert folded.completed == any(is_complete(b.position_ms, b.duration_ms, b.event) for b in mine)
    assert sum(w.watched_ms for w in fold_sessions(sent).values()) == sum(b.watched_ms for b in sent)


def test_an_older_session_that_reports_late_does_not_move_a_newer_ones_point() -> None:
    old = beat(session_id=session(START_MS, 1), seq=99, position_ms=50_000, at_ms=START_MS + 999_000)
    new = beat(session_id=session(START_MS + 60_000, 2), seq=1, position_ms=2_000, at_ms=START_MS + 61_000)
    assert fold_positions([new, old])[(USERS[0], CONTENTS[0])].newest == new


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
