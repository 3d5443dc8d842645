"""How a connection to PostgreSQL is opened: straight, or through a pooler that lends its own for one transaction at a time.

Straight, limits of time are the connection's, and statements are prepared once. Through a pooler (pgbouncer) neither
outlives a transaction: limits are set in each, and no statement has a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from core.connections import Connection, Row

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 2_000
CONNECT_TIMEOUT_S = 5
_IDLE_TIMEOUT_MS = 10_000
# Of prepared statements: another client's has the name, or ours was made on another of the pooler's connections.
_NAMES_ARE_SHARED = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)


def limits() -> str:
    """Statements for the head of a transaction whose connection has no limits of its own."""
    return (
        f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS};"
        f" SET LOCAL idle_in_transaction_session_timeout = {_IDLE_TIMEOUT_MS}"
    )


BYPASSES = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"


class DatabaseDown(Exception):  # noqa: N818 - states the fact
    """PostgreSQL could not be reached, or gave up on us, within the time allowed."""


@dataclass(slots=True)
class Opening:
    """Opens the connections of one pool."""

    url: str
    name: str
    is_pooled: bool | None = None
    """Whether a pooler is in between; None until the first connection has told."""

    async def open(self) -> Connection[Row]:
        """One more connection. Raises what asyncpg raises, OSError, TimeoutError."""
        if self.is_pooled is None:
            connection = await self._open_and_tell()
            if connection is not None:
                return connection
        return await (self._open_pooled() if self.is_pooled else self._open_straight())

    async def _open_and_tell(self) -> Connection[Row] | None:
        """Tries the straight way; None when that came upon a pooler."""
        try:
            connection = await self._open_straight()
        except asyncpg.ProtocolViolationError:
            # pgbouncer refuses settings that it does not know, unless it is told to ignore them.
            self.is_pooled = True
            return None
        try:
            self.is_pooled = await is_made_up(connection)
        except _NAMES_ARE_SHARED:
            self.is_pooled = True
        except BaseException:
            connection.terminate()
            raise
        if self.is_pooled:
            connection.terminate()
            return None
        return connection

    async def _open_straight(self) -> Connection[Row]:
        return await asyncpg.connect(
            self.url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 1,
            server_settings={
                "application_name": f"penstock-{self.name}",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(_IDLE_TIMEOUT_MS),
                "client_connection_check_interval": "1000",
                "tcp_user_timeout": "5000",
                "timezone": "UTC",
            },
        )

    async def _open_pooled(self) -> Connection[Row]:
        # These two settings a pooler keeps apart for each client.
        return await asyncpg.connect(
            self.url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 1,
            statement_cache_size=0,
            server_settings={"application_name": f"penstock-{self.name}", "timezone": "UTC"},
        )


async def is_made_up(connection: Connection[Row]) -> bool:
    """Whether the process number that we were told is not PostgreSQL's: a pooler makes one up, for its clients to cancel by."""
    return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())


async def leads_through_pooler(url: str) -> bool:
    """Whether somebody stands between `url` and PostgreSQL. Raises DatabaseDown."""
    return await _ask_once(url, is_made_up)


async def bypasses_policies(url: str) -> bool:
    """Whether the login of `url` is bound by no row-level policy. Raises DatabaseDown."""

    async def ask(connection: Connection[Row]) -> bool:
        return bool(await connection.fetchval(BYPASSES))

    return await _ask_once(url, ask)


async def _ask_once(url: str, ask: Callable[[Connection[Row]], Awaitable[bool]]) -> bool:
    try:
        connection: Connection[Row] = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, statement_cache_size=0)
        try:
            return await ask(connection)
        finally:
            connection.terminate()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseDown(str(error)) from error


async def dedicated(url: str) -> Connection[Row]:
    """A connection outside any pool, for LISTEN, migrations and PgQueuer. Raises DatabaseDown."""
    try:
        return await asyncpg.connect(url, timeout=5, server_settings={"timezone": "UTC"})
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseDown(str(error)) from error
