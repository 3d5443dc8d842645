"""One playback token in use, as a web process remembers it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from core.errors import Refusal
from edge.tokens.entitlements import Subject
from edge.tokens.grant import Claims


@dataclass(slots=True, eq=False)
class Session:
    """One token in use. `good_until` is when it must be checked again."""

    token: str
    claims: Claims
    good_until: float = 0.0
    checked_at: float = 0.0
    suspect: bool = False
    max_height: int | None = None
    refusal: Refusal | None = None
    checking: asyncio.Task[None] | None = None
    places: dict[str, float] = field(default_factory=dict)
    """Where it is used from, and when last; the latest last. Empty unless sessions are bound."""
    was_crowded: bool = False
    """At the last check it was in use from more than one place."""
    content: bytes = b""
    """The 16 bytes of the title's id, for comparisons that must cost nothing."""

    def __post_init__(self) -> None:
        self.content = self.claims.content_id.bytes
        self.max_height = self.claims.max_height

    @property
    def subject(self) -> Subject:
        """Whose right to what this session stands on."""
        return Subject(self.claims.tenant_id, self.claims.user_id, self.claims.content_id)
