"""What the courier works on: items in hand, what may become of one, and when it is tried again. Pure.

An item is a row of a queue that this process holds a lease on. `attempts` is its fence: whoever was overtaken, because it stood
still for longer than its lease, changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.database import Row
from core.queries import Statement

LEASE_S = 60
"""Longer than any handler may take: while its process runs, nobody else takes what it has in hand."""
HANDLER_S = 30


@dataclass(frozen=True, slots=True)
class Item:
    """One row in hand; `row` is all of it."""

    seq: int
    tenant_id: UUID
    attempts: int
    row: Row

    @classmethod
    def of(cls, row: Row) -> Item:
        """A claimed row."""
        return cls(row["seq"], row["tenant_id"], row["attempts"], row)


@dataclass(frozen=True, slots=True)
class Done:
    """It is delivered, or there is nothing to deliver: `outcome` says which."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Again:
    """This try failed; there is another. `after_s` is what the other side asked to wait for."""

    why: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """It fails for good: whoever reads `why` has to do something."""

    why: str


Outcome = Done | Again | Dead


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exponential back-off: `first_s` after the first failure, each time `factor` as long, `cap_s` at most, `tries` in all."""

    first_s: float
    factor: float
    cap_s: float
    tries: int

    def delay_s(self, attempts: int, share: float) -> float | None:
        """How long to wait after so many tries (1 or more); None: no more. `share` from 0 to 1 is the jitter: half is fixed."""
        if attempts >= self.tries:
            return None
        # The exponent is bounded too: a float has no 5.0 ** 1000.
        return min(self.cap_s, self.first_s * self.factor ** min(attempts - 1, 60)) * (0.5 + share / 2)


@dataclass(frozen=True, slots=True)
class Line:
    """A queue, or a part of one, and how its items are delivered. Its SQL has `claim`, `claim_next`, `done`, `later`, `give_up`, `sweep`
    and `figures`; all that settle take many at once.
    """

    name: str
    sql: Mapping[str, Statement]
    schedule: Schedule
    at_once: int
    """How many are in hand in one process."""
    deliver: Callable[[Item], Awaitable[Outcome]]
    part: tuple[Any, ...] = ()
    """What its `claim` and `claim_next` take beyond how many or which, and for how long, and its `figures` take: the part of the queue."""
    claim_args: tuple[Any, ...] = ()
    """What its `claim` takes beyond that."""


def settle(outcome: Outcome, attempts: int, schedule: Schedule, share: float) -> Done | Dead | tuple[Again, float]:
    """What is written down: done, dead, or again after so many seconds. Spent tries make a failure a dead one."""
    if not isinstance(outcome, Again):
        return outcome
    delay_s = schedule.delay_s(attempts, share)
    if delay_s is None:
        return Dead(f"given up after {attempts} tries: {outcome.why}")
    return outcome, max(delay_s, min(outcome.after_s or 0.0, schedule.cap_s))
