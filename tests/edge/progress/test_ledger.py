"""A beat has its effect once, whether its batch is noted boldly or with care, and whoever else notes it meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from core.database import Database, Tx
from core.errors import TIMEOUT, UNAVAILABLE, Refusal
from edge.progress import ledger as ledger_module
from edge.progress.beat import Beat
from edge.progress.fold import Batch
from edge.progress.ledger import Ledger
from tests.edge.progress.test_drain import a_beat, a_session, point, rows, write_batch
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of tens are large, in pieces of seven."""
    monkeypatch.setattr(ledger_module, "BOLD_FROM", 2)
    monkeypatch.setattr(ledger_module, "PIECE", 7)


async def some(cast: Cast, count: int) -> list[Beat]:
    """Beats of a session, a second watched in each."""
    session = await a_session(cast, cast.vera, cast.free_film)
    return [a_beat(cast, session, n, n, 1) for n in range(1, count + 1)]


async def test_what_is_new_is_noted_at_once_and_has_its_effect(database: Database, cast: Cast) -> None:
    sent = await some(cast, 20)
    assert await write_batch(database, Ledger(), Batch.of(sent)) == 20
    assert len(await rows(cast, "SELECT FROM beat_ledger")) == 20
    assert (await point(cast))["watched_ms"] == 20_000


@pytest.mark.parametrize("old", [[0], [19], [3, 10], range(20)], ids=["first", "last", "in two pieces", "all"])
async def test_of_a_batch_that_is_partly_old_the_rest_counts(database: Database, cast: Cast, old: list[int]) -> None:
    sent = await some(cast, 20)
    ledger = Ledger()
    await write_batch(database, ledger, Batch.of(sent[n] for n in old))
    assert await write_batch(database, ledger, Batch.of(sent)) == 20 - len(old)
    assert len(await rows(cast, "SELECT FROM beat_ledger")) == 20
    row = await point(cast)
    assert (row["watched_ms"], row["position_ms"]) == (20_000, 20_000)


async def test_after_a_bold_batch_was_undone_points_that_move_and_points_that_do_not_are_told_apart(
    database: Database, cast: Cast
) -> None:
    """They are by the transaction that wrote them, which an undone attempt must not have left another."""
    older, newer = await a_session(cast, cast.vera, cast.free_film), await a_session(cast, cast.vera, cast.free_film)
    other = await a_session(cast, cast.otto, cast.free_film)
    first = [a_beat(cast, newer, 1, 5, 1), a_beat(cast, other, 1, 5, 1, user_id=cast.otto)]
    late, moved = a_beat(cast, older, 9, 50, 2), a_beat(cast, other, 2, 8, 2, user_id=cast.otto)
    ledger = Ledger()
    await write_batch(database, ledger, Batch.of(first))
    assert await write_batch(database, ledger, Batch.of([*first, late, moved])) == 2
    found = await rows(cast, "SELECT user_id, position_ms, watched_ms FROM watch_progress")
    assert {row["user_id"]: (row["position_ms"], row["watched_ms"]) for row in found} == {
        cast.vera: (5_000, 3_000),
        cast.otto: (8_000, 3_000),
    }


async def test_one_that_is_there_twice_counts_once_boldly_too(database: Database, cast: Cast) -> None:
    sent = await some(cast, 20)
    assert await write_batch(database, Ledger(), Batch.of([*sent, *sent[5:9]])) == 20
    assert (await point(cast))["watched_ms"] == 20_000


async def test_after_an_old_one_it_is_careful_for_a_while(
    database: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[Tx] = []
    attempt = Tx.attempt

    def counted(tx: Tx) -> AbstractAsyncContextManager[None]:
        attempts.append(tx)
        return attempt(tx)

    monkeypatch.setattr(Tx, "attempt", counted)
    monkeypatch.setattr(ledger_module, "CAREFUL_BATCHES", 2)
    sent = await some(cast, 6)
    ledger = Ledger()
    bold = []
    for _ in range(5):
        await write_batch(database, ledger, Batch.of(sent))
        bold.append(bool(attempts))
        attempts.clear()
    # New, old, twice with care, and again in vain.
    assert bold == [True, True, False, False, True]
    assert (await point(cast))["watched_ms"] == 6_000


async def test_those_who_write_the_same_at_once_all_come_to_an_end(database: Database, cast: Cast) -> None:
    sent = await some(cast, 40)

    async def written(after: int) -> int | None:
        try:
            return 1 + await write_batch(database, Ledger(), Batch.of(sent[after:] + sent[:after]))
        except Refusal as refusal:
            # On a machine that stood still, the other's row was locked for longer than PostgreSQL waits.
            assert refusal.code in {TIMEOUT, UNAVAILABLE}
            return None

    counted = await asyncio.gather(*(until(partial(written, after), 120, "a turn") for after in (0, 13, 31)))
    assert sum(counted) - len(counted) == 40
    assert (await point(cast))["watched_ms"] == 40_000
