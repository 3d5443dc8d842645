"""Many beats into few rows: the newest position per person and title, what happened per session. Pure.

"Newer" is (session's start, seq): a later session beats an earlier one whatever arrived last, and within a session the
client's own count decides. Nothing here depends on the order of `beats`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.settings import Settings
from edge.progress.beat import Beat
from edge.progress.stored import StoredBeat

B = TypeVar("B", Beat, StoredBeat)
"""As the edge made it or as the drain reads it; ids are compared with their own kind alone."""

COMPLETE_TAIL_SHARE = 0.10
VIEW_MS = 30_000
VIEW_SHARE = 0.5
LISTEN_MS = 60_000
"""A minute heard by one listener in a day: the IAB's podcast measurement guidelines 2.2."""
LISTEN_SHARE = 0.95
"""Of an episode shorter than that, on which they are silent."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an installation may set (docs/operating.md)."""

    complete_share: float = 0.95
    complete_tail_ms: int = 30_000
    short_play_ms: int = 10_000
    """A session that has played less has not moved the resume point of an earlier one, unless it went on from there."""


DEFAULT_RULES = Rules()


def rules_from(settings: Settings) -> Rules:
    """The rules that `settings` ask for."""
    return Rules(settings.complete_percent / 100, settings.complete_tail_s * 1000, settings.short_play_s * 1000)


Id = Any
"""A UUID of a `Beat`, or a `StoredBeat`'s text of one."""

SessionKey = tuple[Id, Id | None, Id]
"""Session, user, content."""


@dataclass(slots=True)
class Position(Generic[B]):
    """Where one person stands in one title."""

    newest: B
    watched_ms: int
    completed: bool


@dataclass(slots=True)
class Played(Generic[B]):
    """What one session has played, where it is, and whether it has come to a stop there."""

    newest: B
    watched_ms: int
    last_at_ms: int
    stopped: bool
    is_bot: bool

    @property
    def view_ms(self) -> int:
        """How much must have been watched to count as a view."""
        return view_threshold_ms(self.newest.duration_ms)


def order_of(beat: Beat | StoredBeat) -> tuple[int, int, int, int]:
    """What "newer" means; the last two only make it total."""
    return beat.session_at_ms, beat.seq, beat.at_ms, beat.position_ms


def view_threshold_ms(duration_ms: int) -> int:
    """Half a minute, or half of a title shorter than that."""
    return min(VIEW_MS, int(duration_ms * VIEW_SHARE))


def is_complete(position_ms: int, duration_ms: int, event: str, rules: Rules = DEFAULT_RULES) -> bool:
    """Seen to the end: 95 %, or the last half minute of something of which that is less than a tenth."""
    if duration_ms <= 0:
        return False
    if event == "ended" or position_ms >= duration_ms * rules.complete_share:
        return True
    has_credits = duration_ms * COMPLETE_TAIL_SHARE >= rules.complete_tail_ms
    return has_credits and position_ms >= duration_ms - rules.complete_tail_ms


def fold_positions(beats: Iterable[B], rules: Rules = DEFAULT_RULES) -> dict[tuple[Id, Id], Position[B]]:
    """The newest point by (user, content); guests have none."""
    folded: dict[tuple[Id, Id], Position[B]] = {}
    for beat in beats:
        if beat.user_id is None:
            continue
        key = (beat.user_id, beat.content_id)
        complete = is_complete(beat.position_ms, beat.duration_ms, beat.event, rules)
        held = folded.get(key)
        if held is None:
            folded[key] = Position(beat, beat.watched_ms, complete)
            continue
        held.watched_ms += beat.watched_ms
        held.completed = held.completed or complete
        if order_of(beat) > order_of(held.newest):
            held.newest = beat
    return folded


def fold_sessions(beats: Iterable[B]) -> dict[SessionKey, Played[B]]:
    """What was played by session, guests too. Who names a session that is not theirs stays apart from its owner."""
    folded: dict[SessionKey, Played[B]] = {}
    for beat in beats:
        stops = beat.event in ("ended", "pause")
        key = (beat.session_id, beat.user_id, beat.content_id)
        held = folded.get(key)
        if held is None:
            folded[key] = Played(beat, beat.watched_ms, beat.at_ms, stops, beat.is_bot)
            continue
        held.watched_ms += beat.watched_ms
        held.last_at_ms = max(held.last_at_ms, beat.at_ms)
        held.stopped = held.stopped or stops
        held.is_bot = held.is_bot or beat.is_bot
        if order_of(beat) > order_of(held.newest):
            held.newest = beat
    return folded
