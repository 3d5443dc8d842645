"""Connections are lent in turn, never while something is unanswered, and never more than agreed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import asyncpg
import pytest

from core import connections
from core.connections import Connections
from core.database import Database, DatabaseDown, dedicated
from core.viewer import GUEST, service
from tests.conftest import TestDatabase
from tests.patience import be_patient
from tests.waiting import until


class Line:
    """A connection that is only what the pool sees of one."""

    def __init__(self) -> None:
        self.is_open = True
        self.in_transaction = False

    def is_closed(self) -> bool:
        return not self.is_open

    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def terminate(self) -> None:
        self.is_open = False

    async def close(self) -> None:
        self.is_open = False


class Server:
    """Opens lines, as long as it is up."""

    def __init__(self) -> None:
        self.is_up = True
        self.opened: list[Line] = []

    @property
    def open(self) -> int:
        return sum(line.is_open for line in self.opened)

    async def connect(self) -> Any:
        await asyncio.sleep(0)
        if not self.is_up:
            raise ConnectionRefusedError
        self.opened.append(Line())
        return self.opened[-1]


@pytest.fixture
def server() -> Server:
    return Server()


def pool(server: Server, most: int) -> Connections:
    return Connections(server.connect, most)


async def test_they_are_lent_in_the_order_of_asking_and_nobody_overtakes(server: Server) -> None:
    lent = pool(server, 1)
    first = await lent.take()
    came: list[int] = []

    async def ask(number: int) -> None:
        connection = await lent.take()
        came.append(number)
        lent.give(connection, is_sound=True)

    waiting = [asyncio.create_task(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    lent.give(first, is_sound=True)
    late = asyncio.create_task(ask(5))  # there before any of the five has run again
    await asyncio.gather(*waiting, late)
    assert came == [0, 1, 2, 3, 4, 5]
    assert len(server.opened) == 1


async def test_there_are_never_more_than_agreed(server: Server) -> None:
    lent = pool(server, 3)

    async def use(number: int) -> None:
        connection = await lent.take()
        assert server.open <= 3
        await asyncio.sleep(0)
        lent.give(connection, is_sound=number % 4 != 0)

    await asyncio.gather(*(use(number) for number in range(200)))
    assert server.open <= 3


@pytest.mark.parametrize("why", ["unanswered", "in a transaction", "closed"])
async def test_what_was_cut_short_is_not_lent_again(server: Server, why: str) -> None:
    lent = pool(server, 1)
    connection = cast("Any", await lent.take())
    connection.in_transaction = why == "in a transaction"
    connection.is_open = why != "closed"
    waiting = asyncio.create_task(lent.take())
    await asyncio.sleep(0)
    lent.give(connection, is_sound=why != "unanswered")
    assert await waiting is not connection
    assert not connection.is_open


async def test_who_gives_up_takes_nothing_along(server: Server) -> None:
    lent = pool(server, 1)
    connection = await lent.take()
    leaves, stays = asyncio.create_task(lent.take()), asyncio.create_task(lent.take())
    await asyncio.sleep(0)
    lent.give(connection, is_sound=True)
    leaves.cancel()  # it has been handed the connection already, and has not run since
    assert await stays is connection
    with pytest.raises(asyncio.CancelledError):
        await leaves


async def test_a_server_that_is_down_refuses_all_who_wait_and_is_asked_again(server: Server) -> None:
    lent = pool(server, 1)
    server.is_up = False
    refused = await asyncio.gather(*(lent.take() for _ in range(4)), return_exceptions=True)
    assert [type(error) for error in refused] == [ConnectionRefusedError] * 4
    server.is_up = True
    lent.give(await lent.take(), is_sound=True)


async def test_waiting_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ACQUIRE_TIMEOUT_S", 0.01)
    lent = pool(server, 1)
    connection = await lent.take()
    with pytest.raises(TimeoutError):
        await lent.take()
    lent.give(connection, is_sound=True)
    assert await lent.take() is connection


async def test_what_lies_idle_is_let_go_but_for_what_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.01)
    lent = pool(server, 2)
    both = [await lent.take(), await lent.take()]
    for connection in both:
        lent.give(connection, is_sound=True)
    await until(lambda: server.open == 0, 60)
    lent.give(await lent.take(), is_sound=True)
    assert len(server.opened) == 3


async def test_closing_waits_for_what_is_lent_and_refuses_the_rest(server: Server) -> None:
    lent = pool(server, 1)
    connection = await lent.take()
    waiting = asyncio.create_task(lent.take())
    await asyncio.sleep(0)
    closing = asyncio.create_task(lent.close(60))
    await asyncio.sleep(0)
    assert server.open == 1
    lent.give(connection, is_sound=True)
    await closing
    assert server.open == 0
    with pytest.raises(TimeoutError):
        await waiting
    with pytest.raises(asyncpg.InterfaceError):
        await lent.take()


async def test_a_read_cut_short_leaves_no_trace_of_its_viewer(
    database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    database = await Database.connect(database_urls.app_url, name="test", max_size=1)
    asleep = asyncio.create_task(database.read(service(), "SELECT pg_sleep(4)", ()))
    await until(lambda: database._connections._lent, 60)
    asleep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asleep
    row = await database.read(GUEST, "SELECT current_setting('app.role') AS role", ())
    assert row is not None
    assert row["role"] == "anon"
    await database.close()
    with pytest.raises(DatabaseDown):
        await database.read(GUEST, "SELECT 1", ())


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("ended_by", ["an operator", "its own silence"])
async def test_who_is_ended_between_two_statements_is_told_that_the_database_is_away(
    database: Database, database_urls: TestDatabase, ended_by: str, turns: int
) -> None:
    """After so many turns of the loop asyncpg has read nothing of the server's last words, or the words, or the line's end, too."""
    with pytest.raises(DatabaseDown):
        async with database.transaction(service()) as tx:
            pid = await tx.connection.fetchval("SELECT pg_backend_pid()")
            if ended_by == "its own silence":
                await tx.connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
            # The loop stands still until the backend is gone, with all that it sent still to be read.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, _gone(database_urls.admin_url, pid, ends=ended_by == "an operator")).result()
            for _ in range(turns):
                await asyncio.sleep(0)
            # Leaving the block commits.


async def _gone(admin_url: str, pid: int, *, ends: bool) -> None:
    admin = await dedicated(admin_url)
    try:
        if ends:
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
        await until(lambda: admin.fetchval(gone, pid), 60, "the end of a backend")
    finally:
        await admin.close()


async def test_whoever_stops_listening_leaves_nothing_that_waits(database: Database) -> None:
    """Each time that a line was lost, what had waited on it stayed behind."""
    connected = asyncio.Event()
    before = asyncio.all_tasks()
    listening = asyncio.create_task(database.listen("told", lambda _: None, connected.set, asyncio.Event()))
    async with asyncio.timeout(60):
        await connected.wait()
    listening.cancel()
    await until(lambda: asyncio.all_tasks() <= before, 60, "an end of all that it began")
