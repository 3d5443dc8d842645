"""A beat has its effect once: in a new block, in one that is there, in one that is full, and whoever else notes it meanwhile."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

from core.database import Database
from core.errors import TIMEOUT, UNAVAILABLE, Refusal
from edge.progress import ledger as ledger_module
from edge.progress.beat import Beat
from edge.progress.fold import BLOCK, Batch
from edge.progress.keeper import Keeper
from edge.progress.ledger import FULL, Ledger, pieces
from tests.edge.progress.taken import TAKEN
from tests.edge.progress.test_drain import a_beat, a_session, point, rows, write_batch
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven ids are enough for a statement."""
    monkeypatch.setattr(ledger_module, "PIECE", 7)


async def some(cast: Cast, count: int, *, step: int = 1) -> list[Beat]:
    """Beats of a session, a second watched in each; `step` counts apart."""
    session = await a_session(cast, cast.vera, cast.free_film)
    return [a_beat(cast, session, n * step, n, 1) for n in range(1, count + 1)]


async def noted(cast: Cast) -> int:
    """Beats in the ledger, each of them once."""
    found = [(row["session_id"], row["event_id"]) for row in await rows(cast, TAKEN)]
    assert len(found) == len(set(found))
    return len(found)


async def test_what_is_new_is_noted_at_once_and_has_its_effect(database: Database, cast: Cast) -> None:
    sent = await some(cast, 20)
    assert await write_batch(database, Ledger(), Batch.of(sent)) == 20
    assert await noted(cast) == 20
    assert (await point(cast))["watched_ms"] == 20_000


@pytest.mark.parametrize("step", [1, 9, BLOCK], ids=["a block", "several", "one each"])
@pytest.mark.parametrize("old", [[0], [19], [3, 10], range(20)], ids=["first", "last", "two", "all"])
async def test_of_a_batch_that_is_partly_old_the_rest_counts(
    database: Database, cast: Cast, old: list[int], step: int
) -> None:
    sent = await some(cast, 20, step=step)
    await write_batch(database, Ledger(), Batch.of(sent[n] for n in old))
    assert await write_batch(database, Ledger(), Batch.of(sent)) == 20 - len(old)
    assert await noted(cast) == 20
    row = await point(cast)
    assert (row["watched_ms"], row["position_ms"]) == (20_000, 20_000)


async def test_one_after_the_other_they_fill_a_block(database: Database, cast: Cast) -> None:
    sent = await some(cast, BLOCK - 1)
    for beat in sent:
        assert await write_batch(database, Ledger(), Batch.of([beat])) == 1
    assert len(await rows(cast, "SELECT FROM beat_ledger")) == 1
    for beat in sent:
        assert await write_batch(database, Ledger(), Batch.of([beat])) == 0
    assert (await point(cast))["watched_ms"] == 1000 * len(sent)


async def test_one_that_is_there_twice_in_a_batch_counts_once(database: Database, cast: Cast) -> None:
    sent = await some(cast, 20)
    assert await write_batch(database, Ledger(), Batch.of([*sent, *sent[5:9]])) == 20
    assert (await point(cast))["watched_ms"] == 20_000


@pytest.mark.parametrize("sizes", [[200], [FULL, 1], [FULL - 1, 3, 50], [10] * 12, [1] * 70], ids=str)
async def test_a_client_that_does_not_count_loses_nothing_and_no_row_grows_without_end(
    database: Database, cast: Cast, sizes: list[int]
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    sent = [a_beat(cast, session, 1, n % 60, 1) for n in range(sum(sizes))]
    random.Random(len(sizes)).shuffle(sent)
    at = 0
    for size in sizes:
        # Each batch brings some of the former ones once more.
        again = sent[max(0, at - 5) : at]
        assert await write_batch(database, Ledger(), Batch.of([*again, *sent[at : at + size]])) == size
        at += size
    assert await write_batch(database, Ledger(), Batch.of(sent)) == 0
    assert await noted(cast) == len(sent)
    (held,) = await rows(cast, "SELECT cardinality(event_ids) AS ids FROM beat_ledger")
    assert held["ids"] == min(FULL, len(sent))
    assert (await point(cast))["watched_ms"] == 1000 * len(sent)


async def test_who_takes_another_s_ids_takes_nothing_from_them(database: Database, cast: Cast) -> None:
    sent = await some(cast, 5)
    session = await a_session(cast, cast.otto, cast.free_film)
    stolen = [a_beat(cast, session, beat.seq, 1, 1, user_id=cast.otto, event_id=beat.event_id) for beat in sent]
    assert await write_batch(database, Ledger(), Batch.of(stolen)) == 5
    assert await write_batch(database, Ledger(), Batch.of(sent)) == 5
    assert (await point(cast))["watched_ms"] == 5_000


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


def test_a_block_is_never_in_two_statements() -> None:
    blocks = [
        (("a", 0), range(3)),
        (("a", 1), range(9)),
        (("b", 0), range(2)),
        (("b", 1), range(5)),
        (("c", 0), range(1)),
    ]
    cut = list(pieces(blocks))
    assert [[key for key, _ in piece] for piece in cut] == [
        [("a", 0)],
        [("a", 1)],
        [("b", 0), ("b", 1)],
        [("c", 0)],
    ]
    assert [(key, list(ids)) for piece in cut for key, ids in piece] == [(key, list(ids)) for key, ids in blocks]


async def test_what_is_older_than_any_beat_that_could_come_is_forgotten(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    sent = [a_beat(cast, session, seq, 1, 1) for seq in (1, *[BLOCK] * (FULL + 3))]
    await write_batch(database, Ledger(), Batch.of(sent))
    keeper = Keeper(database, 0)
    await rows(cast, "UPDATE beat_ledger SET seen_on = current_date - 9 WHERE block = 0")
    await rows(
        cast,
        "UPDATE beat_ledger_crowded SET seen_on = current_date - 9"
        " WHERE event_id = (SELECT min(event_id::text) FROM beat_ledger_crowded)::uuid",
    )
    await until(keeper.keep, 60, "a turn at keeping")
    assert await noted(cast) == FULL + 2
