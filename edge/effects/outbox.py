"""The line of effects: what each topic of core/domain/topics.py sets off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core.database import Database
from core.domain.topics import TOPICS, Kind
from core.queries import load
from core.viewer import service
from edge.effects.line import Dead, Done, Item, Line, Outcome, Schedule
from edge.effects.webhook_line import SQL as DELIVERIES

SQL = load("edge.effects", "outbox.sql")

# 2 s, 8 s, 32 s, 2 min, 9 min, 34 min, then every hour: about eight hours in all.
SCHEDULE = Schedule(first_s=2, factor=4, cap_s=3600, tries=14)
AT_ONCE = 8

Handler = Callable[[Item], Awaitable[Outcome]]


class Outbox:
    """Delivers each effect by the handlers of its topic."""

    def __init__(self, database: Database, mail: Handler, topics: Mapping[str, tuple[Kind, ...]] = TOPICS) -> None:
        self._database = database
        self._handlers: Mapping[Kind, Handler] = {"webhooks": self._fan_out, "mail": mail}
        self._topics = topics

    def line(self) -> Line:
        """This, as the courier works on it."""
        return Line("outbox", SQL, SCHEDULE, AT_ONCE, self.deliver)

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

    async def _fan_out(self, item: Item) -> Outcome:
        row = item.row
        async with self._database.transaction(service(item.tenant_id)) as tx:
            told = await tx.run(
                DELIVERIES["fan_out"], row["id"], row["topic"], row["subject"], row["created_at"], row["payload"]
            )
        return Done(f"{told} webhook{'' if told == 1 else 's'} told")
