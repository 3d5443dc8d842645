"""A stage that every test of a connection begins on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.edge.lane.stage import Stage, Wire, get, open_stage, settle


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A lane that has learnt three objects. What a test leaves open is cut, and nothing of it may stay behind."""
    made = await open_stage()
    await prime(made)
    yield made
    made.held.set()
    for connection in list(made.traffic.connections):
        connection.transport.lose()
    await settle()
    assert made.lane.checks == 0
    assert made.server.connections == []
    await made.close()


async def prime(stage: Stage) -> None:
    """Teaches the lane three objects."""
    wire = Wire(stage.fast())
    for path in ("master.m3u8", "v/1.m4s", "v/large.m4s"):
        wire.send(get(path))
        await settle()
    wire.lose()
    await settle()
