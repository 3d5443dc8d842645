"""May this person watch this title? Asked of PostgreSQL once, remembered in Redis, forgotten when either changes.

A fill that races with a change must not leave a stale yes behind: every change heard bumps an epoch, and a fill that sees
the epoch move while it read or wrote takes its own entry out again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import structlog

from core.errors import (
    BANNED,
    CONTENT_NOT_FOUND,
    CONTENT_NOT_READY,
    NOT_ENTITLED,
    SIGN_IN_NEEDED,
    Refusal,
)
from edge.redis_client import Breaker, Pipelined, Redis, RedisDown
from edge.tokens.names import entitlement_key, entitlement_pattern, owner

log = structlog.get_logger(__name__)

ALLOWED_TTL_S = 60
DENIED_TTL_S = 5

REFUSALS = {
    "not_found": CONTENT_NOT_FOUND,
    "not_ready": CONTENT_NOT_READY,
    "banned": BANNED,
    "unknown_user": SIGN_IN_NEEDED,
    "sign_in_needed": SIGN_IN_NEEDED,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks for what. No user means a guest."""

    tenant_id: UUID
    user_id: UUID | None
    content_id: UUID

    @property
    def key(self) -> str:
        """Where Redis keeps the answer."""
        return entitlement_key(owner(self.user_id, self.content_id), self.content_id)


class Entitlement(msgspec.Struct, frozen=True, array_like=True):
    """What SQL's `entitlement()` answers; `until` in Unix seconds. edge/tokens/admission.lua knows the order of the fields."""

    allowed: bool
    reason: str
    until: float | None = None
    max_height: int | None = None
    max_streams: int | None = None

    def refusal(self) -> Refusal:
        """What a client is told when it is not allowed."""
        return Refusal(REFUSALS.get(self.reason, NOT_ENTITLED), data={"reason": self.reason})

    def holds_at(self, now: float) -> bool:
        """Allowed, and not past its end."""
        return self.allowed and (self.until is None or now < self.until)


Ask = Callable[[Subject], Awaitable[Entitlement]]


class Entitlements:
    """Cached answers, one question at a time for each subject."""

    def __init__(self, ask: Ask, redis: Redis, breaker: Breaker) -> None:
        """`ask` puts the question to PostgreSQL; it raises when PostgreSQL cannot answer."""
        self._ask = ask
        self._pipelined = Pipelined(redis, breaker)
        self._asking: dict[Subject, asyncio.Task[Entitlement]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Entitlement)
        self.epoch = 0

    async def of(self, subject: Subject) -> Entitlement:
        """The answer for `subject`, remembered or new. Raises as `ask` when PostgreSQL is needed and away."""
        try:
            stored: Any = await self._pipelined.send("GET", subject.key)
            if stored is not None:
                return self.unpack(stored)
        except RedisDown:
            pass
        return await self.ask(subject)

    def unpack(self, stored: bytes) -> Entitlement:
        """An answer as Redis keeps it."""
        return self._decoder.decode(stored)

    def pack(self, answer: Entitlement) -> bytes:
        """An answer as Redis is to keep it."""
        return self._encoder.encode(answer)

    async def ask(self, subject: Subject, *, fresh: bool = False) -> Entitlement:
        """What PostgreSQL says, which is remembered: one question for all who ask meanwhile.

        `fresh` joins no question that is under way: its answer may be from before what the caller has heard of.
        """
        task = self._asking.get(subject)
        if task is None or fresh:
            task = asyncio.create_task(self._fill(subject))
            self._asking[subject] = task
            task.add_done_callback(lambda done: self._asked(subject, done))
        # Shielded: the first waiter's disconnect must not fail the others.
        return await asyncio.shield(task)

    def _asked(self, subject: Subject, done: asyncio.Task[Entitlement]) -> None:
        if self._asking.get(subject) is done:
            del self._asking[subject]
        if not done.cancelled():
            done.exception()  # seen by whoever waits; nobody may be left

    async def _fill(self, subject: Subject) -> Entitlement:
        epoch = self.epoch
        answer = await self._ask(subject)
        if epoch != self.epoch:
            return answer
        ttl_s = ALLOWED_TTL_S if answer.allowed else DENIED_TTL_S
        try:
            await self._pipelined.send("SET", subject.key, self.pack(answer), "EX", ttl_s)
            if epoch != self.epoch:
                await self._pipelined.send("DEL", subject.key)
        except RedisDown:
            pass
        return answer

    async def forget(self, user_id: UUID | None, content_id: UUID | None) -> None:
        """Drops what is remembered of this user and title; None stands for every one.

        The caller has heard of the change after its commit, so whoever asks from here on sees it.
        """
        self.epoch += 1
        self._asking.clear()
        try:
            if user_id and content_id:
                await self._pipelined.send("DEL", entitlement_key(owner(user_id, content_id), content_id))
            else:
                await self._forget_matching(entitlement_pattern(user_id, content_id))
        except RedisDown:
            # What stays there lives ALLOWED_TTL_S at most; running sessions are suspect and ask afresh.
            log.warning("entitlements_not_forgotten", user=str(user_id), content=str(content_id))

    async def _forget_matching(self, pattern: str) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._pipelined.send("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            # One command for each: in a Redis Cluster they are of many slots.
            await asyncio.gather(*(self._pipelined.send("UNLINK", key) for key in keys))
            if not cursor:
                return
