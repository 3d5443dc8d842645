"""Identifiers: UUID version 7 (RFC 9562 section 5.7), made here when a row's id must be known before it is stored."""

from __future__ import annotations

import os
import time
from uuid import UUID

DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")
SYSTEM_USER = UUID("00000000-0000-7000-8000-000000000002")


def uuid7() -> UUID:
    """A time-ordered UUID: 48 bits of Unix milliseconds, then random."""
    stamp_ms = time.time_ns() // 1_000_000
    value = (stamp_ms << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)
