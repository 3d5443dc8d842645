"""Every context there is, as a literal: what is not named here does not exist for the engine."""

from __future__ import annotations

from core.domain import (
    advertising,
    catalog,
    commerce,
    community,
    identity,
    learning,
    media_commands,
    platform,
    playback,
    podcasts,
    tenancy,
)
from core.domain.context import Context

CONTEXTS: tuple[Context, ...] = (
    identity.CONTEXT,
    catalog.CONTEXT,
    media_commands.CONTEXT,
    commerce.CONTEXT,
    playback.CONTEXT,
    learning.CONTEXT,
    platform.CONTEXT,
    community.CONTEXT,
    advertising.CONTEXT,
    podcasts.CONTEXT,
    tenancy.CONTEXT,
)
