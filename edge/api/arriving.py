"""Bodies on their way in. A request waits for its own before it takes a place, so a slow sender holds none that others need.

What has arrived of them lies in memory meanwhile, within a budget: over it, the body that has been on its way longest is
given up, which is a slow sender's whenever there is one.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

from aiohttp import StreamReader, web

from core.errors import UNAVAILABLE, Refusal

BUDGET_BYTES = 64 * 1024 * 1024
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
LARGEST_BYTES = 64 * 1024
LARGEST_ROWS_BYTES = 1024 * 1024
"""What is sent to a table: up to a thousand rows of it."""
_TABLE = re.compile(r"/rest/v1/(?!rpc/)")


def largest_bytes(path: str) -> int:
    """How long a body may be that is read whole at that path."""
    return LARGEST_ROWS_BYTES if _TABLE.match(path) else LARGEST_BYTES


@dataclass(slots=True)
class Arriving:
    """The bodies of one web process that are not whole yet."""

    budget_bytes: int = BUDGET_BYTES
    given_up: int = 0
    _bodies: dict[asyncio.Timeout, StreamReader] = field(default_factory=dict)
    """Oldest first."""

    def __len__(self) -> int:
        return len(self._bodies)

    async def receive(self, request: web.Request) -> None:
        """Returns when the body is whole: `request.read()` gives it at once from then on.

        Does nothing for a body that nobody will read, nor for one announced as larger than its path takes: it is its
        handler's to refuse. Raises Refusal 503 when the body is given up, and whatever `request.read()` raises.
        """
        if request.method not in WITH_BODY or not request.can_read_body:
            return
        if request.match_info.http_exception is not None or (request.content_length or 0) > largest_bytes(request.path):
            return
        try:
            async with asyncio.timeout(None) as patience:
                if not request.content.is_eof():
                    self._bodies[patience] = request.content
                # aiohttp has one limit for a whole application; a body that does not say how long it is ends at its path's.
                request._client_max_size = largest_bytes(request.path)  # noqa: SLF001
                await request.read()
        except TimeoutError:
            # Jitter: those sent away together must not come back together.
            raise Refusal(
                UNAVAILABLE,
                "Too much is being sent to the service right now.",
                retry_after_s=random.randint(1, 4),  # noqa: S311
            ) from None
        finally:
            self._bodies.pop(patience, None)

    def keep_to_budget(self) -> None:
        """Gives up the oldest bodies for as long as all of them together are over the budget."""
        held_bytes = sum(body.total_bytes for body in self._bodies.values())
        while held_bytes > self.budget_bytes:
            patience = next(iter(self._bodies))
            held_bytes -= self._bodies.pop(patience).total_bytes
            patience.reschedule(0)
            self.given_up += 1
