"""The lines of effects: what each topic of core/domain/topics.py sets off.

Two of them, over one table. What stays in the database is done by the hundred, in a transaction for all; mail waits for servers
elsewhere, a few at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from core.database import Database
from core.domain.topics import TOPICS, Kind
from core.queries import load
from core.viewer import COURIER
from edge.effects.line import Dead, Done, Item, Line, Outcome, Schedule
from edge.effects.together import Together
from edge.effects.webhook_line import SQL as DELIVERIES

SQL = load("edge.effects", "outbox.sql")

# 2 s, 8 s, 32 s, 2 min, 9 min, 34 min, then every hour: about eight hours in all.
SCHEDULE = Schedule(first_s=2, factor=4, cap_s=3600, tries=14)
AT_ONCE = 256
MAILS_AT_ONCE = 8

Handler = Callable[[Item], Awaitable[Outcome]]


class Outbox:
    """Delivers each effect by the handlers of its topic."""

    def __init__(self, database: Database, mail: Handler, topics: Mapping[str, tuple[Kind, ...]] = TOPICS) -> None:
        self._database = database
        self._fanning = Together(self._fan_out, AT_ONCE)
        self._handlers: Mapping[Kind, Handler] = {"webhooks": self._fanning.ask, "mail": mail}
        self._topics = topics

    def lines(self) -> tuple[Line, Line]:
        """This, as the courier works on it: what is not mail, and what is."""
        return (
            Line("outbox", SQL, SCHEDULE, AT_ONCE, self.deliver, part=(False,)),
            Line("mail", SQL, SCHEDULE, MAILS_AT_ONCE, self.deliver, part=(True,)),
        )

    async def deliver(self, item: Item) -> Outcome:
        """Every handler of its topic, in order; the first that fails ends it, and all are asked again: each bears that."""
        kinds = self._topics.get(item.row["topic"])
        if kinds is None:
            return Dead(f"nobody handles the topic {item.row['topic']!r} (core/domain/topics.py)")
        said = []
        for kind in kinds:
            outcome = await self._handlers[kind](item)
            if not isinstance(outcome, Done):
                return outcome
            said.append(outcome.outcome)
        return Done("; ".join(said))

    async def _fan_out(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Of any tenants: what is sent, and to whom, never leaves the database here."""
        async with self._database.transaction(COURIER) as tx:
            rows = await tx.many(DELIVERIES["fan_out_many"], [item.seq for item in items])
        told = {row["event_id"]: row["told"] for row in rows}
        counts = [told.get(item.row["id"], 0) for item in items]
        return [Done(f"{count} webhook{'' if count == 1 else 's'} told") for count in counts]
