"""Invitations that are answered by a mailed secret: what holds for a family's and a workspace's alike.

Pure. Knows no rows but the one it is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from core.errors import BAD_INVITATION, Refusal

LIFETIME = timedelta(days=7)

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


def unknown() -> Refusal:
    """There is none for whoever asks: also said of somebody else's."""
    return Refusal(BAD_INVITATION, data={"reason": "unknown"})


def check_open(*, is_pending: bool, expires_at: datetime, now: datetime) -> Refusal | None:
    """An invitation is answered once, in time."""
    if not is_pending:
        return Refusal(BAD_INVITATION, "It has been answered or taken back.", data={"reason": "answered"})
    if expires_at <= now:
        return Refusal(BAD_INVITATION, "The invitation has expired.", data={"reason": "expired"})
    return None
