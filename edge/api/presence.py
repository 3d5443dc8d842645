"""Who is there now: `online_sessions`, kept by what signed-in people ask.

A request notes its session in memory and waits for nothing. What was noted is written in one statement, and a session once a
minute at most, whichever web processes see it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from core.database import Database, DatabaseDown
from core.domain.identity import note_presence
from core.errors import Refusal
from core.viewer import service

WRITE_EVERY_S = 60.0
FLUSH_S = 5.0
MOST_NOTED = 50_000
"""Sessions remembered; beyond, those that were written longest ago are forgotten, and written again when next seen."""


@dataclass(slots=True)
class Presence:
    """Of one web process."""

    database: Database
    monotonic: Callable[[], float] = time.monotonic
    _written: dict[UUID, float] = field(default_factory=dict)
    _waiting: set[UUID] = field(default_factory=set)

    def note(self, session_id: UUID) -> None:
        """Somebody has just asked for something."""
        written_s = self._written.get(session_id)
        if (written_s is None or self.monotonic() - written_s >= WRITE_EVERY_S) and len(self._waiting) < MOST_NOTED:
            self._waiting.add(session_id)

    async def run(self) -> None:
        """For ever, until it is cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            with suppress(DatabaseDown, Refusal):
                await self.flush()

    async def flush(self) -> None:
        """Writes who was seen. Raises DatabaseDown, Refusal; who was not written is noted when next seen."""
        if not self._waiting:
            return
        seen, self._waiting = self._waiting, set()
        async with self.database.transaction(service()) as tx:
            await note_presence(tx, sorted(seen))
        now_s = self.monotonic()
        for session_id in seen:
            # In order of writing, so that the first are the oldest.
            self._written.pop(session_id, None)
            self._written[session_id] = now_s
        for session_id in list(self._written)[: max(0, len(self._written) - MOST_NOTED)]:
            del self._written[session_id]
