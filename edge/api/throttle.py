"""How often somebody may try a password: per e-mail address and per network address, counted in Redis.

Decides when a try is one too many. Knows no accounts. While Redis is away it says nothing: the lock on the account
itself (core/domain/identity/sessions.py, record_failure) still holds guessing down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import cast

import structlog

from core.errors import TOO_MANY_TRIES, Refusal
from edge.redis_client import Breaker, Redis, RedisDown

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `tries` in a window of `window_s` that the first of them opens."""

    tries: int
    window_s: int


PER_EMAIL = Limit(10, 300)
# A school or an office is one address: one try a second is room for its mistakes, and useless to a guesser.
PER_ADDRESS = Limit(300, 300)
# A mailbox is not filled for somebody else's fun, and a network does not mail the whole town.
MAILS_PER_EMAIL = Limit(5, 3600)
MAILS_PER_ADDRESS = Limit(60, 3600)

# One key each, so that it runs on a cluster; counted and bounded in one step, so that parallel tries are all seen.
_COUNT = """
local n = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    left = tonumber(ARGV[1])
end
return {n, left}
"""


class Throttle:
    """Counts tries before they cost anything."""

    def __init__(
        self, redis: Redis, breaker: Breaker, *, per_email: Limit = PER_EMAIL, per_address: Limit = PER_ADDRESS
    ) -> None:
        self._redis = redis
        self._breaker = breaker
        self._per_email = per_email
        self._per_address = per_address

    async def admit(self, *, address: str | None, email: str | None = None) -> bool:
        """Counts one try; False when Redis is away and nothing was counted. Raises Refusal TOO_MANY_TRIES.

        A network address that is over its limit no longer counts against the e-mail address it guesses at.
        """
        try:
            if address:
                await self._count(_key("address", network_of(address)), self._per_address)
            if email:
                await self._count(_key("email", email.lower()), self._per_email)
        except RedisDown as error:
            log.warning("throttle_without_redis", error=str(error))
            return False
        return True

    async def admit_mail(self, *, address: str | None, email: str) -> bool:
        """Counts one wish for a mail, likewise; known addresses and unknown ones alike. Raises Refusal TOO_MANY_TRIES."""
        try:
            if address:
                await self._count(_key("mails-from", network_of(address)), MAILS_PER_ADDRESS)
            await self._count(_key("mails-to", email.lower()), MAILS_PER_EMAIL)
        except RedisDown as error:
            log.warning("throttle_without_redis", error=str(error))
            return False
        return True

    async def forgive(self, email: str) -> None:
        """A right password: what was mistyped before it no longer counts."""
        key = _key("email", email.lower())
        try:
            await self._breaker.call(lambda: cast("Awaitable[object]", self._redis.delete(key)))
        except RedisDown as error:
            log.warning("throttle_without_redis", error=str(error))

    async def _count(self, key: str, limit: Limit) -> None:
        tries, left_ms = await self._breaker.call(
            lambda: cast("Awaitable[list[int]]", self._redis.eval(_COUNT, 1, key, str(limit.window_s * 1000)))
        )
        if tries > limit.tries:
            raise Refusal(TOO_MANY_TRIES, retry_after_s=max(1, -(-left_ms // 1000)))


def network_of(address: str) -> str:
    """The part of a network address that one subscriber has: all of IPv4, the first 64 bits of IPv6."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def _key(kind: str, subject: str) -> str:
    # Hashed: Redis needs to tell addresses apart, not to know them.
    return f"penstock:tries:{kind}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
