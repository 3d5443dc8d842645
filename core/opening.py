"""How a connection to PostgreSQL is opened: straight, or through a pooler that lends its own for one transaction at a time.

Straight, limits of time are the connection's, and statements are prepared once. Through a pooler (pgbouncer) neither
outlives a transaction: limits are set in each, and no statement has a name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from core.connections import Connection, Row

CONNECT_TIMEOUT_S = 5
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg raises; a timeout is an OSError, and a server's last words between two statements are an InternalClientError."""
LIMITS_MS = {"statement_timeout": 5_000, "lock_timeout": 2_000, "idle_in_transaction_session_timeout": 10_000}
_WATCHES = {"client_connection_check_interval": "1000", "tcp_user_timeout": "5000"}
# Of prepared statements: another client's has the name, or ours was made on another of the pooler's connections.
_NAMES_ARE_SHARED = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)


def limits() -> str:
    """Statements for the head of a transaction whose connection has no limits of its own."""
    return "; ".join(f"SET LOCAL {name} = {ms}" for name, ms in LIMITS_MS.items())


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
        if self.is_pooled is None and (connection := await self._open_and_tell()) is not None:
            return connection
        return await self._connect(is_pooled=bool(self.is_pooled))

    async def _open_and_tell(self) -> Connection[Row] | None:
        """Tries the straight way; None when that came upon a pooler."""
        try:
            connection = await self._connect(is_pooled=False)
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

    async def _connect(self, *, is_pooled: bool) -> Connection[Row]:
        # These two settings a pooler keeps apart for each client; names of statements it does not.
        own = {} if is_pooled else _WATCHES | {name: str(ms) for name, ms in LIMITS_MS.items()}
        return await asyncpg.connect(
            self.url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=LIMITS_MS["statement_timeout"] / 1000 + 1,
            server_settings={"application_name": f"penstock-{self.name}", "timezone": "UTC", **own},
            statement_cache_size=0 if is_pooled else 100,
        )


async def is_made_up(connection: Connection[Row]) -> bool:
    """Whether the process number that we were told is not PostgreSQL's: a pooler makes one up, for its clients to cancel by."""
    return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())


async def leads_through_pooler(url: str) -> bool:
    """Whether somebody stands between `url` and PostgreSQL. Raises DatabaseDown."""
    async with once(url) as connection:
        return await is_made_up(connection)


@asynccontextmanager
async def once(url: str) -> AsyncIterator[Connection[Row]]:
    """A connection for a question or two, also through a pooler. Raises DatabaseDown."""
    try:
        connection: Connection[Row] = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, statement_cache_size=0)
        try:
            yield connection
        finally:
            connection.terminate()
    except FAILURES as error:
        raise DatabaseDown(str(error) or "no answer in time") from error


async def dedicated(url: str) -> Connection[Row]:
    """A connection outside any pool, for LISTEN, migrations and PgQueuer. Raises DatabaseDown."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings={"timezone": "UTC"})
    except FAILURES as error:
        raise DatabaseDown(str(error) or "no answer in time") from error
