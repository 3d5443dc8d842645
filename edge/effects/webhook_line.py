"""The line of webhook deliveries: opens the secret, sends, and ends a webhook that has not worked for days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

import aiohttp
import orjson
import structlog
from aiohttp.abc import AbstractResolver

from core.database import Database
from core.domain.commands import emit
from core.domain.house import House
from core.domain.sealing import Unsealable
from core.domain.webhook_guard import NotAllowed
from core.queries import load
from core.viewer import service
from edge.effects.line import Again, Dead, Done, Item, Line, Outcome, Schedule
from edge.effects.webhook import body_of, headers_of, judge

log = structlog.get_logger(__name__)

SQL = load("edge.effects", "deliveries.sql")

# 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 6 h, then every 6 h: about two days in all.
SCHEDULE = Schedule(first_s=5, factor=4, cap_s=6 * 3600, tries=14)
AT_ONCE = 32
PLACES = 4
"""Of one webhook at once: one that takes its whole time holds up an eighth of a process at most."""
TIMEOUT_S = 15
CONNECT_S = 5
DISABLED_AFTER_DAYS = 5
MAX_ANSWER_BYTES = 64 * 1024


class Webhooks:
    """Sends over one client. `resolver` is aiohttp's where none is given."""

    def __init__(
        self,
        database: Database,
        house: House,
        clock: Callable[[], datetime],
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._database = database
        self._house = house
        self._clock = clock
        # No connection is kept: each is made, and checked, for one message.
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            socket_factory=house.guard.make_socket,
            force_close=True,
            use_dns_cache=False,
            limit=AT_ONCE,
        )
        self._client = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    def line(self) -> Line:
        """This, as the courier works on it."""
        return Line("webhooks", SQL, SCHEDULE, AT_ONCE, self.deliver, claim_args=(PLACES,))

    async def deliver(self, item: Item) -> Outcome:
        """One attempt, and what it means for the webhook."""
        outcome = await self._send(item)
        if isinstance(outcome, Done) and item.row["failing_since"] is None:
            return outcome
        webhook_id = item.row["webhook_id"]
        async with self._database.transaction(service(item.tenant_id)) as tx:
            match outcome:
                case Done():
                    await tx.run(SQL["webhook_works"], webhook_id)
                    return outcome
                case Dead(why):
                    reason: str | None = why
                case Again(why):
                    await tx.run(SQL["webhook_fails"], webhook_id)
                    days = await tx.value(SQL["webhook_failing_days"], webhook_id)
                    reason = None
                    if days is not None and days >= DISABLED_AFTER_DAYS:
                        reason = f"has failed for {DISABLED_AFTER_DAYS} days, lately: {why}"
        if reason is None:
            return outcome
        await self._disable(item.tenant_id, webhook_id, item.row["url"], reason)
        return Dead(reason)

    async def _send(self, item: Item) -> Outcome:
        row = item.row
        url: str = row["url"]
        if (wrong := self._house.guard.check_url(url)) is not None:
            return Again(f"the address {wrong}")
        if self._house.keeper is None:
            return Again("there is no sealing key: PENSTOCK_SEALING_KEYS is not set")
        try:
            secrets = [
                self._house.keeper.open(sealed, bound_to=f"webhooks.secret:{row['webhook_id']}")
                for sealed in (row["secret"], row["old_secret"])
                if sealed is not None
            ]
        except Unsealable as error:
            return Again(f"its secret cannot be opened: {error}")
        now = self._clock()
        body = body_of(row["event_type"], row["happened_at"], orjson.loads(row["data"]))
        headers = headers_of(body, str(row["event_id"]), secrets, now)
        try:
            async with self._client.post(url, data=body, headers=headers, allow_redirects=False) as response:
                # What it says is of no interest; a little of it is read so that a short answer ends in order.
                await response.content.read(MAX_ANSWER_BYTES)
                return judge(response.status, response.headers, now)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, NotAllowed):
                return Again(f"refused: {error.os_error}")
            return Again(f"no connection ({type(error.os_error).__name__})")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Again(f"no answer ({type(error).__name__})")

    async def _disable(self, tenant_id: UUID, webhook_id: UUID, url: str, reason: str) -> None:
        """Ends it, with what waited for it, and says so to whoever made it; once, whoever comes first."""
        async with self._database.transaction(service(tenant_id)) as tx:
            owner = await tx.value(SQL["webhook_disable"], webhook_id, reason)
            if owner is None:
                return
            await tx.run(SQL["webhook_give_up"], webhook_id, f"the webhook was disabled: {reason}")
            message = f"{url} {reason}. Mend it, then enable it again."
            await tx.run(SQL["owner_note"], owner, "A webhook was disabled", message)
            await emit(tx, "webhook.disabled", f"webhook:{webhook_id}", {"webhook_id": webhook_id, "reason": reason})
            await emit(
                tx,
                "mail.wanted",
                f"user:{owner}",
                {
                    "template": "webhook_disabled",
                    "user_id": owner,
                    "kind": "transactional",
                    "variables": {"url": url, "reason": reason},
                },
            )
        log.warning("webhook_disabled", webhook_id=str(webhook_id), reason=reason)
