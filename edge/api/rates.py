"""How much one caller may ask in a minute: counted in Redis for all edges together, taken from there in handfuls.

Counting every request there would cost each a round trip. So a web process takes a handful of a caller's minute at once
and hands it out itself: one question in fifty requests, and at most a handful in a process goes unused (decision 14).
Redis away, nobody is refused: what the database can take is bounded elsewhere (shedding.py).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal, cast

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from core.errors import RATE_LIMITED, Refusal
from edge.redis_client import Breaker, Redis, RedisDown

Kind = Literal["user", "key", "address"]

MOST_IN_HAND = 50
HANDFULS = 60
"""Of a limit: a small one is not taken whole by the first process that comes."""
REMEMBERED = 50_000

# Counted and bounded in time in one step; one key, so that it runs on a cluster.
_COUNT = """
local n = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return n
"""


class SharedCounts(Storage):
    """The counters of `limits` behind our own Redis client: its breaker, its patience, Cluster and Sentinel."""

    STORAGE_SCHEME = None

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        super().__init__()
        self._redis = redis
        self._breaker = breaker

    @property
    def base_exceptions(self) -> type[Exception]:
        """What Redis fails with."""
        return RedisDown

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count with `amount` added; it is forgotten `expiry` seconds after the first."""
        args = (_named(key), str(amount), str(expiry * 1000))
        return await self._breaker.call(lambda: cast("Awaitable[int]", self._redis.eval(_COUNT, 1, *args)))

    async def get(self, key: str) -> int:
        """The count."""
        return int(await self._breaker.call(lambda: cast("Awaitable[bytes | None]", self._redis.get(_named(key)))) or 0)

    async def get_expiry(self, key: str) -> float:
        """When it is forgotten, in Unix seconds."""
        left_ms = await self._breaker.call(lambda: self._redis.pttl(_named(key)))
        return time.time() + max(0, left_ms) / 1000

    async def check(self) -> bool:
        """Whether Redis answers."""
        return bool(await self._breaker.call(lambda: self._redis.ping()))

    async def reset(self) -> int | None:
        """Counters end by themselves, within their minute."""
        return None

    async def clear(self, key: str) -> None:
        """Forgets one counter."""
        await self._breaker.call(lambda: self._redis.delete(_named(key)))


def _named(key: str) -> str:
    return f"penstock:rate:{key}"


@dataclass(slots=True)
class _Hand:
    """What this process may still hand out to a caller in the present minute."""

    left: int = 0
    until_s: float = 0.0
    is_spent: bool = False
    """There is no more to be had before `until_s`."""
    filling: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Rates:
    """The limits of one web process's callers; `per_minute` has no entry for what is not limited."""

    per_minute: dict[Kind, int]
    redis: Redis
    breaker: Breaker
    clock: Callable[[], float] = time.time
    _items: dict[Kind, RateLimitItem] = field(init=False)
    _limiter: FixedWindowRateLimiter = field(init=False)
    _hands: OrderedDict[tuple[Kind, Hashable], _Hand] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._items = {kind: RateLimitItemPerMinute(amount) for kind, amount in self.per_minute.items() if amount}
        self._limiter = FixedWindowRateLimiter(SharedCounts(self.redis, self.breaker))

    async def admit(self, kind: Kind, subject: Hashable) -> None:
        """Counts one request of `subject`. Raises Refusal RATE_LIMITED."""
        item = self._items.get(kind)
        if item is None:
            return
        caller = (kind, subject)
        hand = self._hands.get(caller)
        if hand is None:
            hand = self._hands[caller] = _Hand()
            if len(self._hands) > REMEMBERED:
                self._hands.popitem(last=False)
        while True:
            now_s = self.clock()
            if now_s < hand.until_s:
                if hand.left > 0:
                    hand.left -= 1
                    return
                if hand.is_spent:
                    raise self._refusal(kind, item, hand.until_s - now_s)
            if hand.filling is None:
                hand.filling = asyncio.create_task(self._fill(hand, item, caller))
            # wait(): who hangs up meanwhile must not take it from the others.
            filling = hand.filling
            await asyncio.wait({filling})
            if isinstance(filling.exception(), RedisDown):
                return
            filling.result()

    async def _fill(self, hand: _Hand, item: RateLimitItem, caller: tuple[Kind, Hashable]) -> None:
        try:
            named = [str(part) for part in caller]
            handful = max(1, min(MOST_IN_HAND, item.amount // HANDFULS))
            got = handful if await self._limiter.hit(item, *named, cost=handful) else 0
            stats = await self._limiter.get_window_stats(item, *named)
            # A minute that ends between the two questions is asked for again at once.
            hand.left, hand.until_s, hand.is_spent = got, stats.reset_time, got == 0
        finally:
            hand.filling = None

    def _refusal(self, kind: Kind, item: RateLimitItem, left_s: float) -> Refusal:
        wait_s = max(1, math.ceil(left_s))
        return Refusal(
            RATE_LIMITED,
            f"More than {item.amount} requests in a minute.",
            data={"limit": item.amount, "limited": kind},
            retry_after_s=wait_s,
        )


def rate_headers(refusal: Refusal) -> dict[str, str]:
    """RateLimit and its policy, as the IETF's draft-ietf-httpapi-ratelimit-headers words them."""
    if refusal.code is not RATE_LIMITED:
        return {}
    kind, amount = refusal.data["limited"], refusal.data["limit"]
    return {"RateLimit-Policy": f'"{kind}";q={amount};w=60', "RateLimit": f'"{kind}";r=0;t={refusal.retry_after_s}'}
