"""`penstock outbox` as an operator uses it, on a real database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.viewer import COURIER
from edge.cli.outbox import UNDELIVERED
from edge.cli.pile import run_each, run_list, run_show
from edge.effects.line import Dead, Done, Item, Line, Outcome
from edge.effects.outbox import SQL
from edge.local.fault import ServiceFault
from tests.conftest import TestDatabase
from tests.edge.effects.conftest import ask, couriers, effect, settled
from tests.edge.effects.test_courier import SOON


@pytest.fixture
async def stuck(
    database: Database, database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Database:
    """Three effects: one given up, one that waits behind nothing, one in hand."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", database_urls.app_url)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))

    async def refuse(item: Item) -> Outcome:
        return Dead("no such user") if item.row["subject"] == "user:1" else Done("sent")

    await effect(database, "mail.wanted", "user:1", {"template": "x", "variables": {"token": "very-secret"}})
    async with couriers(database, [Line("test", SQL, SOON, 8, refuse, part=(True,))]):
        await settled(database, 1)
    await effect(database, "mail.wanted", "user:2", {"template": "x"})
    await ask(database, "UPDATE outbox SET next_attempt_at = now() + interval '1 hour' WHERE subject = 'user:2'")
    await effect(database, "mail.wanted", "user:3", {"template": "x"})
    async with database.transaction(COURIER) as tx:
        assert len(await tx.many(SQL["claim"], 8, 3600, True)) == 1
    return database


async def lines(capsys: pytest.CaptureFixture[str], function: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """The exit code and the output. In a thread: a command has an event loop of its own."""
    code = await asyncio.to_thread(lambda: function(UNDELIVERED, *args, data=None, **kwargs))
    said = capsys.readouterr()
    return code, said.out + said.err


async def test_what_is_not_delivered_is_listed_with_its_state(
    stuck: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = await lines(capsys, run_list, as_json=True)
    rows = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [(row["subject"], row["state"].split(" in ")[0]) for row in rows] == [
        ("user:1", "given up"),
        ("user:2", "again"),
        ("user:3", "in hand"),
    ]
    assert rows[0]["last_error"] == "no such user"
    assert "very-secret" not in said
    _, table = await lines(capsys, run_list, as_json=False)
    assert rows[0]["name"] in table


async def test_one_is_shown_without_its_token(stuck: Database, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = await lines(capsys, run_list, as_json=True)
    name = json.loads(said.splitlines()[0])["name"]
    code, said = await lines(capsys, run_show, name)
    assert (code, json.loads(said)["payload"]) == (0, {"template": "x"})
    assert (await lines(capsys, run_show, "effect/999999"))[0] == 1
    assert (await lines(capsys, run_show, "nonsense"))[0] == 1


async def test_what_was_given_up_is_tried_again(stuck: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await lines(capsys, run_each, "again", [], every=True))[0] == 0
    (row,) = await ask(stuck, "SELECT attempts, given_up_at, payload FROM outbox WHERE subject = 'user:1'")
    assert (row["attempts"], row["given_up_at"]) == (0, None)
    # Not blanked: it was never sent.
    assert "very-secret" in row["payload"]

    async def send(_: Item) -> Outcome:
        return Done("sent")

    async with couriers(stuck, [Line("test", SQL, SOON, 8, send, part=(True,))]):
        rows = await settled(stuck, 1)
    assert rows[0]["outcome"] == "sent"


async def test_what_is_in_hand_is_neither_tried_again_nor_dropped(
    stuck: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = await ask(stuck, "SELECT seq FROM outbox WHERE subject = 'user:3'")
    for verb in ("again", "drop"):
        code, said = await lines(capsys, run_each, verb, [f"effect/{row['seq']}"], every=False)
        assert code == 1
        assert f"effect/{row['seq']}" in said
    assert len(await ask(stuck, "SELECT 1 FROM outbox")) == 3


async def test_what_is_dropped_is_gone(stuck: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await lines(capsys, run_each, "drop", [], every=True))[0] == 0
    assert [row["subject"] for row in await ask(stuck, "SELECT subject FROM outbox ORDER BY seq")] == [
        "user:2",
        "user:3",
    ]


async def test_names_and_all_exclude_each_other(stuck: Database) -> None:
    for names, every in (([], False), (["effect/1"], True)):
        with pytest.raises(ServiceFault):
            await asyncio.to_thread(
                lambda names=names, every=every: run_each(UNDELIVERED, "drop", names, every=every, data=None)
            )  # type: ignore[misc]
