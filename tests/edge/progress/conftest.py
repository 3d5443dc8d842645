"""What tests of heartbeats share."""

from __future__ import annotations

import pytest

from edge.redis_client import breaker, opening


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is there in these tests: a machine that stands still for a second must not make it look away."""
    be_patient(monkeypatch, 60.0)


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long a Redis may take to answer, to be connected with, and between two bytes."""
    monkeypatch.setattr(breaker, "ANSWER_S", seconds)
    for name in ("SOCKET_S", "CONNECT_S"):
        monkeypatch.setattr(opening, name, seconds)
