"""PostgreSQL: the only module, with the two that open and lend its connections, that talks to asyncpg.

Every statement runs for a `Viewer`: the settings that row-level security reads are local to its transaction, so a pooled
connection can carry nothing from one caller to the next. Connections are bounded in number, time and patience.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Self

import asyncpg
import structlog

from core import connections, errors, opening
from core.connections import Connections
from core.domain.house import House
from core.errors import Fault, Refusal
from core.meanings import meaning_of
from core.opening import BYPASSES, FAILURES, Opening, leads_through_pooler, limits
from core.patience import QUESTION_S, Patience
from core.queries import Statement
from core.viewer import Viewer

log = structlog.get_logger(__name__)
_BARE = House()

Row = connections.Row
Connection = connections.Connection
QueryError = asyncpg.PostgresError
DatabaseDown = opening.DatabaseDown
dedicated = opening.dedicated

FIRST_READ_PARAMETER = 4
"""The number of the first parameter of a statement given to `Database.read`; those before are the viewer's."""

_SET_VIEWER = "SELECT set_config('app.tenant_id', $1, true), set_config('app.user_id', $2, true), set_config('app.role', $3, true)"

# One round trip instead of four (BEGIN, set, query, COMMIT). Two fences keep the order: a lateral reference, so that
# the statement runs below the row that made the settings, and OFFSET 0, so that no condition of it is hoisted above.
_READ = (
    "SELECT answer.* FROM (SELECT set_config('app.tenant_id', $1, true) || set_config('app.user_id', $2, true)"
    " || set_config('app.role', $3, true) AS settings OFFSET 0) AS viewer CROSS JOIN LATERAL (SELECT asked.* FROM (",
    ") AS asked WHERE viewer.settings IS NOT NULL OFFSET 0) AS answer",
)

# What the server says to a read that is well formed and makes no sense: an operator that a type lacks, a text search of
# bad syntax, an unknown language, too many parts.
_MAKES_NO_SENSE = (
    asyncpg.UndefinedFunctionError, asyncpg.UndefinedObjectError, asyncpg.CannotCoerceError, asyncpg.DatatypeMismatchError,
    asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError, asyncpg.ProgramLimitExceededError,
)  # fmt: skip


class SchemaChanged(Exception):  # noqa: N818 - states the fact
    """A statement names a table or column that is no longer there."""


class Tx:
    """One open transaction, already acting for its viewer. Named statements only."""

    def __init__(self, connection: Connection[Row], house: House) -> None:
        self.connection = connection
        self.house = house

    async def one(self, statement: Statement, *args: object) -> Row | None:
        """At most one row."""
        return await self.connection.fetchrow(statement.sql, *args)

    async def many(self, statement: Statement, *args: object) -> list[Row]:
        """All rows."""
        return await self.connection.fetch(statement.sql, *args)

    async def value(self, statement: Statement, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self.connection.fetchval(statement.sql, *args)

    async def run(self, statement: Statement, *args: object) -> int:
        """Executes; the number of rows touched."""
        tag: str = await self.connection.execute(statement.sql, *args)
        last = tag.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def ask(self, sql: str, args: Sequence[object]) -> Row | None:
        """The first row of a statement that the engine made. Raises Refusal BAD_QUERY, SchemaChanged."""
        return await _ask(self.connection, sql, args)

    async def run_many(self, statement: Statement, rows: Sequence[Sequence[object]]) -> None:
        """Executes once per row, pipelined."""
        await self.connection.executemany(statement.sql, rows)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """What is done within is kept or undone as one, and the transaction goes on. Database errors leave it as a Refusal."""
        await self.connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException as error:
            # asyncpg's own would not release it: what follows would be a subtransaction's, and its rows bear another xmin.
            await self.connection.execute("ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt")
            if isinstance(error, asyncpg.PostgresError):
                raise translate(error) from error
            raise
        await self.connection.execute("RELEASE SAVEPOINT attempt")


class Database:
    """A bounded pool of connections, and transactions on them."""

    def __init__(self, connections: Connections, way: Opening, direct_url: str, house: House) -> None:
        self._connections = connections
        self._opening = way
        self._direct_url = direct_url
        self._house = house
        self._patience = Patience("database", self._answers, self._let_go)

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL has been found not to answer, and calls are being refused at once."""
        return self._patience.is_away

    @classmethod
    async def connect(
        cls, url: str, *, name: str, max_size: int = 8, house: House = _BARE, direct_url: str | None = None
    ) -> Self:
        """A pool on `url`. Connects when first used, so a process can start before its database.

        `url` may lead through a pooler; notifications are then heard on `direct_url`, which may not.
        """
        way = Opening(url, name)
        return cls(Connections(way.open, max_size), way, direct_url or url, house)

    async def close(self) -> None:
        """Ends every connection, waiting a moment for those in use."""
        self._patience.close()
        try:
            await self._connections.close(5)
        except FAILURES:
            self._connections.cut()

    @asynccontextmanager
    async def transaction(self, viewer: Viewer) -> AsyncIterator[Tx]:
        """A transaction acting for `viewer`. Database errors leave it as a Refusal or DatabaseDown."""
        async with _Lent(self._connections, self._patience) as connection, connection.transaction():
            if self._opening.is_pooled:
                await connection.execute(limits())
            await connection.execute(_SET_VIEWER, *viewer_settings(viewer))
            yield Tx(connection, self._house)

    async def read(self, viewer: Viewer, sql: str, args: Sequence[object], *, explain: bool = False) -> Row | None:
        """The first row of `sql`, a SELECT without side effects run for `viewer` as a transaction of its own.

        Its parameters start at FIRST_READ_PARAMETER. `explain` gives the planner's JSON about it instead, unexecuted.
        Raises Refusal, SchemaChanged, DatabaseDown.
        """
        text = _for_viewer(sql, explain)
        async with _Lent(self._connections, self._patience) as connection:
            if not self._opening.is_pooled:
                return await _ask(connection, text, (*viewer_settings(viewer), *args))
            async with connection.transaction():
                await connection.execute(limits())
                return await _ask(connection, text, (*viewer_settings(viewer), *args))

    async def _answers(self) -> bool:
        """Whether a new connection is let in and answered: the old ones are what is being doubted."""
        connection: Connection[Row] | None = None
        try:
            connection = await asyncpg.connect(self._opening.url, timeout=QUESTION_S, statement_cache_size=0)
            return bool(await connection.fetchval("SELECT true"))
        except asyncpg.TooManyConnectionsError:
            return True  # it is there, and busy
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False
        finally:
            if connection is not None:
                connection.terminate()

    async def _let_go(self) -> None:
        """Fails whoever waits, by cutting the line: to cancel a statement one would have to ask the server that is away."""
        self._connections.cut()

    async def alive(self) -> bool:
        """Whether a trivial statement comes back in time."""
        try:
            async with (
                asyncio.timeout(connections.ACQUIRE_TIMEOUT_S),
                _Lent(self._connections, self._patience) as connection,
            ):
                return bool(await connection.fetchval("SELECT true"))
        except (DatabaseDown, Refusal, *FAILURES):
            return False

    async def unfit(self) -> tuple[str, str] | None:
        """Why nobody may be served through it, and the mend; None when they may. Raises DatabaseDown."""
        async with _Lent(self._connections, self._patience) as connection:
            if await connection.fetchval(BYPASSES):
                mend = "PENSTOCK_DATABASE_URL must name a role without SUPERUSER and BYPASSRLS"
                return "database_login_bypasses_policies", mend
        if await self.is_deaf():
            mend = "PENSTOCK_DIRECT_DATABASE_URL must name PostgreSQL itself"
            return "database_pooler_carries_no_notifications", mend
        return None

    async def is_deaf(self) -> bool:
        """Whether `listen` would be told nothing, since its URL leads through a pooler. Raises DatabaseDown."""
        return await leads_through_pooler(self._direct_url)

    async def listen(
        self, channel: str, heard: Callable[[str], None], connected: Callable[[], None], stop: asyncio.Event
    ) -> None:
        """Calls `heard(payload)` for every NOTIFY on `channel` until `stop`; reconnects for ever.

        `connected()` follows each (re)connection: what was announced in between is lost, so drop what is cached.
        """
        while not stop.is_set():
            lost = asyncio.Event()
            waits = [asyncio.create_task(event.wait()) for event in (lost, stop)]
            connection: Connection[Row] | None = None
            try:
                connection = await dedicated(self._direct_url)
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(channel, lambda _c, _p, _ch, payload: heard(str(payload)))
                connected()
                while not lost.is_set() and not stop.is_set():
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=10)
                    # A half-open connection hears nothing and says nothing: ask it.
                    await connection.fetchval("SELECT true", timeout=5)
            except (DatabaseDown, *FAILURES) as error:
                log.warning("listen_lost", channel=channel, error=str(error))
            finally:
                for wait in waits:
                    wait.cancel()
                if connection is not None:
                    connection.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stop.wait()


@lru_cache(1024)
def _for_viewer(sql: str, explain: bool) -> str:
    """The same text object each time: asyncpg looks statements up by text, and hashing one takes as long as joining it."""
    return ("EXPLAIN (FORMAT JSON) " if explain else "") + _READ[0] + sql + _READ[1]


class _Lent:
    """A connection for the length of a block. A generator's context would cost 8 us more, a thirtieth of a list."""

    __slots__ = ("_connection", "_connections", "_patience")

    def __init__(self, connections: Connections, patience: Patience) -> None:
        self._connections = connections
        self._patience = patience

    async def __aenter__(self) -> Connection[Row]:
        if self._patience.is_away:
            raise DatabaseDown("did not answer a moment ago")
        self._patience.begin(self)
        try:
            self._connection = await self._connections.take()
        except BaseException as error:
            self._patience.end(self, was_answered=False)
            if isinstance(error, FAILURES):
                raise DatabaseDown(f"no connection within {connections.ACQUIRE_TIMEOUT_S} s: {error}") from error
            raise
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        told = None if error is None else self._told(error)
        was_answered = told is None or isinstance(told, (Refusal, SchemaChanged, asyncpg.PostgresError))
        self._connections.give(self._connection, is_sound=was_answered)
        self._patience.end(self, was_answered=was_answered)
        if told is not None and told is not error:
            raise told from error

    def _told(self, error: BaseException) -> BaseException:
        """What the caller is told of `error`: an error of asyncpg's is a Refusal or DatabaseDown, any other is itself."""
        match error:
            case asyncpg.PostgresError():
                return translate(error)
            case asyncpg.InterfaceError() | asyncpg.InternalClientError() | ConnectionError() | TimeoutError():
                return DatabaseDown(str(error) or "no answer in time")
            case AttributeError() if self._connection.is_closed():
                return DatabaseDown("cut off")  # see _ask
        return error


async def _ask(connection: Connection[Row], sql: str, args: Sequence[object]) -> Row | None:
    try:
        return await connection.fetchrow(sql, *args)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise SchemaChanged(str(error)) from error
    except _MAKES_NO_SENSE as error:
        raise Refusal(errors.BAD_QUERY, str(error.message), hint=error.hint) from error
    except (OSError, AttributeError) as error:
        # AttributeError is asyncpg's, when the line was cut (`_let_go`) between two of its own awaits.
        raise DatabaseDown("cut off" if isinstance(error, AttributeError) else str(error) or "no answer") from error


def as_read(statement: Statement) -> str:
    """A named SELECT as `Database.read` takes it: its parameters come after the viewer's."""
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + FIRST_READ_PARAMETER - 1}", statement.sql)


@lru_cache(4096)
def viewer_settings(viewer: Viewer) -> tuple[str, str, str]:
    """The values of app.tenant_id, app.user_id and app.role."""
    return str(viewer.tenant_id), str(viewer.user_id) if viewer.user_id else "", viewer.role


def translate(error: asyncpg.PostgresError) -> Exception:
    """A database error as what a client is told; anything unexpected is passed on unchanged."""
    constraint = getattr(error, "constraint_name", None) or ""
    if (meaning := meaning_of(constraint)) is not None:
        return meaning
    match error:
        case asyncpg.UniqueViolationError():
            return Refusal(errors.CONFLICT, details=error.detail, data={"constraint": constraint})
        # PostgreSQL 18 says of ON DELETE RESTRICT what the standard says, 23001; until 17 it was 23503.
        case asyncpg.ForeignKeyViolationError() | asyncpg.RestrictViolationError():
            return Refusal(errors.STILL_REFERENCED, details=error.detail, data={"constraint": constraint})
        case asyncpg.CheckViolationError() if constraint.endswith("__transition"):
            return Refusal(errors.ILLEGAL_MOVE, str(error.message), hint=error.hint)
        case asyncpg.NotNullViolationError(column_name=str(column)):
            return Refusal(errors.RULE_BROKEN, f"{column}: must be given", faults=(Fault(column, "must be given"),))
        case asyncpg.CheckViolationError() | asyncpg.NotNullViolationError() | asyncpg.ExclusionViolationError():
            # What a trigger says is in words; what PostgreSQL says of a table's own rule is not, and the rule's name is.
            is_own = getattr(error, "table_name", None) and "__" in constraint
            rule = f"{errors.RULE_BROKEN.message[:-1]}: {constraint.partition('__')[2].replace('_', ' ')}."
            said = rule if is_own else str(error.message)
            return Refusal(errors.RULE_BROKEN, said, hint=error.hint, data={"constraint": constraint})
        case asyncpg.CardinalityViolationError():
            return Refusal(errors.RULE_BROKEN, "Two rows of the body are the same row of the table.")
        case asyncpg.RaiseError() | asyncpg.GeneratedAlwaysError():
            return Refusal(errors.RULE_BROKEN, str(error.message), hint=error.hint)
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            why = "Somebody else was changing the same; nothing was changed."
            return Refusal(errors.UNAVAILABLE, why, retry_after_s=1)
        case asyncpg.InsufficientPrivilegeError():
            return Refusal(errors.FORBIDDEN)
        case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError():
            return Refusal(errors.TIMEOUT)
        case asyncpg.DataError() | asyncpg.ProgramLimitExceededError():
            # One of asyncpg's own, about a value that it could not send, has no message but its text, which names it.
            return Refusal(errors.BAD_VALUE, error.message and str(error.message), hint=error.hint)
        case asyncpg.PostgresConnectionError() | asyncpg.CannotConnectNowError() | asyncpg.AdminShutdownError():
            return DatabaseDown(str(error))
        case asyncpg.CrashShutdownError() | asyncpg.TooManyConnectionsError() | asyncpg.DiskFullError():
            return DatabaseDown(str(error))
        case _:
            return error
