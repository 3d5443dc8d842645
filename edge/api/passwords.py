"""Password hashing (argon2id) off the event loop, with a bound on how much of it may wait.

Decides how a password is stored and whether one matches. Knows no accounts: an unknown one is verified against a decoy,
so that it takes the time, and gets the answer, of a wrong password.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from core.errors import UNAVAILABLE, Refusal

# OWASP's second choice: 27 ms and 19 MiB here. The library's default took 130 ms and 64 MiB, of what streams need.
TIME_COST = 2
MEMORY_KIB = 19_456
PARALLELISM = 1
THREADS = 2
MAX_WAITING = 32
RETRY_AFTER_S = 2

T = TypeVar("T")


class Passwords:
    """Hashes and verifies in `threads` threads; refuses with UNAVAILABLE when `max_waiting` more wait already."""

    def __init__(
        self, *, threads: int = THREADS, max_waiting: int = MAX_WAITING, hasher: PasswordHasher | None = None
    ) -> None:
        self._hasher = hasher or PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._room = threading.BoundedSemaphore(threads + max_waiting)
        self._decoy = decoy(self._hasher)
        self.verifications = 0
        """How many verifications were begun, decoys included."""

    def close(self) -> None:
        """Ends the threads; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The argon2id hash to store. Raises Refusal UNAVAILABLE when too many wait."""
        return await self._run(lambda: self._hasher.hash(_canonical(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one of `stored`; None costs the same and is False. Raises Refusal UNAVAILABLE."""
        self.verifications += 1
        matches = await self._run(lambda: self._matches(stored or self._decoy, password))
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Whether `stored` was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _canonical(password))
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise Refusal(UNAVAILABLE, "Too many people are signing in at this moment.", retry_after_s=RETRY_AFTER_S)
        future: Future[T] = self._pool.submit(work)
        # Given back by the work, not by its waiter: a client that hangs up does not free a thread that still hashes.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def decoy(hasher: PasswordHasher) -> str:
    """What no password has, and costs as much to verify as what one has. Drawn, not hashed: every start of an edge would wait for it."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${digest}"


def _canonical(password: str) -> bytes:
    """One password, however the keyboard composed its accents (RFC 8265's OpaqueString)."""
    return unicodedata.normalize("NFC", password).encode()
