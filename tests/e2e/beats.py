"""Heartbeats as the pages send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4


def beat(grant: dict[str, Any], position_s: float, seq: int, **other: Any) -> dict[str, Any]:
    """One beat of the grant's session, now."""
    return {
        "content_id": grant["content_id"],
        "session_id": grant["session_id"],
        "position_s": position_s,
        "duration_s": grant["duration_s"],
        "event": "beat",
        "seq": seq,
        "at": datetime.now(UTC).isoformat(),
        "watched_s": 5.0,
        "device_type": "web",
        "event_id": str(uuid4()),
        **other,
    }
