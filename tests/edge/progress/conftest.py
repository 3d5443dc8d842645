"""What tests of heartbeats share."""

from __future__ import annotations

import pytest

from edge import redis_client


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is there in these tests: a machine that stands still for a second must not make it look away."""
    for name in ("ANSWER_S", "SOCKET_S", "CONNECT_S"):
        monkeypatch.setattr(redis_client, name, 60.0)
