"""Waking workers: a message for each task, in the transaction of who asks."""

from __future__ import annotations

import asyncio

import pytest

from core.database import Database
from core.domain.media_dispatch import enqueue_tasks, read_message
from core.ids import uuid7
from core.viewer import service
from tests.transcoder.test_worker import look


async def test_only_the_first_message_of_a_process_waits_for_an_import(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = uuid7()
    async with database.transaction(service()) as tx:
        await enqueue_tasks(tx, tenant_id, [(uuid7(), 0)])

    async def hop(*_: object) -> None:
        raise AssertionError("a thread for what is there already")

    second = uuid7()
    async with database.transaction(service()) as tx:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "to_thread", hop)
            await enqueue_tasks(tx, tenant_id, [(second, 5)])
    row = await look(database, "SELECT payload, priority FROM pgqueuer ORDER BY id DESC LIMIT 1")
    assert isinstance(row["payload"], bytes)
    assert read_message(row["payload"]) == (tenant_id, second)
    assert row["priority"] == 5
