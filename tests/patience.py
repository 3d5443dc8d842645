"""PostgreSQL is there: a machine that stands still for a second must not make a test look away."""

from __future__ import annotations

import pytest

from core.opening import LIMITS_MS


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """From here on a pool waits a minute for what it lets go of after a second when people are waiting."""
    patch.setattr("core.connections.ACQUIRE_TIMEOUT_S", 60.0)
    patch.setattr("core.patience.SUSPECT_S", 30.0)
    for limit in LIMITS_MS:
        patch.setitem(LIMITS_MS, limit, 120_000)
