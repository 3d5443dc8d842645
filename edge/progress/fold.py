"""Many beats into few rows: the newest position per person and title, what happened per session. Pure.

"Newer" is (session's start, seq): a later session beats an earlier one whatever arrived last, and within a session the
client's own count decides. Nothing here depends on the order of `beats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
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
STEP = 1024
"""Sessions folded at a time: a millisecond, in which nobody else's answer is looked at."""
STOPS = frozenset({"ended", "pause"})


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
    length_ms: int = field(compare=False)
    """Of the title, as the first beat said; nearly always all do, and then what is complete is asked once."""
    complete_from_ms: float = field(compare=False)

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
    return (event == "ended" and duration_ms > 0) or position_ms >= complete_from_ms(duration_ms, rules)


def complete_from_ms(duration_ms: int, rules: Rules = DEFAULT_RULES) -> float:
    """The first position that is complete; of what has no length, none."""
    if duration_ms <= 0:
        return float("inf")
    has_credits = duration_ms * COMPLETE_TAIL_SHARE >= rules.complete_tail_ms
    share_ms = duration_ms * rules.complete_share
    return min(share_ms, duration_ms - rules.complete_tail_ms) if has_credits else share_ms


class Batch(Generic[B]):
    """Beats and what they come to. `add` some, then `fold` them; until then there are no positions."""

    def __init__(self, rules: Rules = DEFAULT_RULES) -> None:
        self.rules = rules
        self.beats: list[B] = []
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
        """Takes beats in; the same one twice counts twice (ledger.py sorts that out).

        One look at each, soon after it was decoded: 0.65 us. By session, with a look at all its beats for each fact, it is twice that:
        tens of thousands of beats are in no cache any more by then.
        """
        sessions, blocks, rules = self.sessions, self.blocks, self.rules
        for beat in beats:
            self.beats.append(beat)
            session_id, seq = beat.session_id, beat.seq
            block = (session_id, seq // BLOCK)
            ids = blocks.get(block)
            if ids is None:
                blocks[block] = {beat.event_id}
            else:
                ids.add(beat.event_id)
            key = (beat.tenant_id, session_id, beat.user_id, beat.content_id)
            played = sessions.get(key)
            if played is None:
                sessions[key] = _first(beat, rules)
                continue
            played.watched_ms += beat.watched_ms
            if beat.at_ms > played.last_at_ms:
                played.last_at_ms = beat.at_ms
            newest = played.newest
            # The usual case without making what the others are compared by.
            if (seq > newest.seq and beat.session_at_ms == newest.session_at_ms) or order_of(beat) > order_of(newest):
                played.newest = beat
            if beat.event != "beat" and beat.event in STOPS:
                played.stopped = True
            if not played.completed:
                if beat.duration_ms != played.length_ms or beat.event == "ended":
                    played.completed = is_complete(beat.position_ms, beat.duration_ms, beat.event, rules)
                else:
                    played.completed = beat.position_ms >= played.complete_from_ms
            if beat.is_bot:
                played.is_bot = True

    def fold(self) -> Iterator[None]:
        """Makes the positions of what was added, `STEP` sessions at a time: what else is to be done may be done in between."""
        for number, (key, session) in enumerate(self.sessions.items(), 1):
            if key[2] is not None:
                self._move((key[0], key[2], key[3]), session)
            if not number % STEP:
                yield

    def named(self) -> set[Id | None]:
        """The ids that its rows are made of, but for those of the events."""
        return {one for key in self.sessions for one in key} | {
            one.newest.playlist_id for one in self.positions.values()
        }

    def _move(self, key: PointKey, session: Played[B]) -> None:
        held = self.positions.get(key)
        if held is None:
            self.positions[key] = Position(session.newest, session.watched_ms, session.completed)
            return
        held.watched_ms += session.watched_ms
        held.completed = held.completed or session.completed
        held.newest = max(held.newest, session.newest, key=order_of)


def _first(beat: B, rules: Rules) -> Played[B]:
    return Played(
        newest=beat,
        watched_ms=beat.watched_ms,
        last_at_ms=beat.at_ms,
        stopped=beat.event in STOPS,
        completed=is_complete(beat.position_ms, beat.duration_ms, beat.event, rules),
        is_bot=beat.is_bot,
        length_ms=beat.duration_ms,
        complete_from_ms=complete_from_ms(beat.duration_ms, rules),
    )
