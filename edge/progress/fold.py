"""Many beats into few rows: the newest position per person and title, what happened per session. Pure.

"Newer" is (session's start, seq): a later session beats an earlier one whatever arrived last, and within a session the
client's own count decides. Nothing here depends on the order of `beats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, Self, TypeVar

from edge.progress.beat import Beat
from edge.progress.stored import StoredBeat
from edge.settings import Settings

B = TypeVar("B", Beat, StoredBeat)
"""As the edge made it or as the drain reads it; ids are compared with their own kind alone."""

COMPLETE_TAIL_SHARE = 0.10
VIEW_MS = 30_000
VIEW_SHARE = 0.5
LISTEN_MS = 60_000
"""A minute heard by one listener in a day: the IAB's podcast measurement guidelines 2.2."""
LISTEN_SHARE = 0.95
"""Of an episode shorter than that, on which they are silent."""
STEP = 256
"""Sessions folded at a time: a millisecond, in which nobody else's answer is looked at."""


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

SessionKey = tuple[Id, Id, Id | None, Id]
"""Tenant, session, user, content. Who names a session that is not theirs stays apart from its owner."""

PointKey = tuple[Id, Id, Id]
"""Tenant, user, content."""

BlockKey = tuple[Id, int]
"""Session, and its beats' `seq` by the `BLOCK`."""

BLOCK = 32


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
    completed: bool
    is_bot: bool

    @property
    def view_ms(self) -> int:
        """How much must have been watched to count as a view."""
        return view_threshold_ms(self.newest.duration_ms)


order_of: Callable[[Beat | StoredBeat], tuple[int, int, int, int]] = attrgetter(
    "session_at_ms", "seq", "at_ms", "position_ms"
)
"""What "newer" means; the last two only make it total."""


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


class Batch(Generic[B]):
    """Beats and what they come to. `add` some, then `fold` them; until then there are only the beats."""

    def __init__(self, rules: Rules = DEFAULT_RULES) -> None:
        self.rules = rules
        self.beats: list[B] = []
        self._groups: dict[SessionKey, list[B]] = {}
        self.blocks: dict[BlockKey, set[Id]] = {}
        """The beats' ids, each once, as the ledger keeps them."""
        self.sessions: dict[SessionKey, Played[B]] = {}
        """What was played by session, guests too."""
        self.positions: dict[PointKey, Position[B]] = {}
        """The newest point by person and title; guests have none."""

    @classmethod
    def of(cls, beats: Iterable[B], rules: Rules = DEFAULT_RULES) -> Self:
        """These beats, folded."""
        batch = cls(rules)
        batch.add(beats)
        for _ in batch.fold():
            pass
        return batch

    def add(self, beats: Iterable[B]) -> None:
        """Takes beats in; the same one twice counts twice (ledger.py sorts that out)."""
        groups = self._groups
        for beat in beats:
            self.beats.append(beat)
            key = (beat.tenant_id, beat.session_id, beat.user_id, beat.content_id)
            held = groups.get(key)
            if held is None:
                groups[key] = [beat]
            else:
                held.append(beat)

    def fold(self) -> Iterator[None]:
        """Folds what was added, `STEP` sessions at a time: what else is to be done may be done in between."""
        for number, (key, beats) in enumerate(self._groups.items(), 1):
            self.sessions[key] = session = fold_session(beats, self.rules)
            self._note(key[1], beats)
            if key[2] is not None:
                self._move((key[0], key[2], key[3]), session)
            if not number % STEP:
                yield
        self._groups.clear()

    def _note(self, session_id: Id, beats: Sequence[B]) -> None:
        blocks = self.blocks
        for beat in beats:
            key = (session_id, beat.seq // BLOCK)
            held = blocks.get(key)
            if held is None:
                blocks[key] = {beat.event_id}
            else:
                held.add(beat.event_id)

    def _move(self, key: PointKey, session: Played[B]) -> None:
        held = self.positions.get(key)
        if held is None:
            self.positions[key] = Position(session.newest, session.watched_ms, session.completed)
            return
        held.watched_ms += session.watched_ms
        held.completed = held.completed or session.completed
        held.newest = max(held.newest, session.newest, key=order_of)


def fold_session(beats: Sequence[B], rules: Rules = DEFAULT_RULES) -> Played[B]:
    """What the beats of one session come to; at least one. A look at all of them for each fact takes half of what one loop does."""
    events = {beat.event for beat in beats}
    durations = {beat.duration_ms for beat in beats}
    if len(durations) == 1:
        # Of one length, whatever is complete at all is complete where it is furthest.
        furthest_ms = max([beat.position_ms for beat in beats])
        completed = is_complete(furthest_ms, durations.pop(), "ended" if "ended" in events else "beat", rules)
    else:
        completed = any(is_complete(beat.position_ms, beat.duration_ms, beat.event, rules) for beat in beats)
    return Played(
        newest=max(beats, key=order_of),
        watched_ms=sum([beat.watched_ms for beat in beats]),
        last_at_ms=max([beat.at_ms for beat in beats]),
        stopped="ended" in events or "pause" in events,
        completed=completed,
        is_bot=True in {beat.is_bot for beat in beats},
    )
