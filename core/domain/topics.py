"""Every topic that a command may `emit`, and who handles it: a topic that is not here is given up with a clear error.

`webhooks`: told to every enabled webhook of the tenant that lists it; its payload is what they are sent.
`mail`: a message to one person (edge/effects/mail.py says what its payload holds); never told to webhooks.
Caches need no handler: the database announces what changed itself (db/schema/announce.sql), sooner than an effect could. Jobs
need none either: a task is queued in the transaction that wants it (core/dispatch.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Kind = Literal["webhooks", "mail"]

TOPICS: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "content.published": ("webhooks",),
        "content.unpublished": ("webhooks",),
        "content.priced": ("webhooks",),
        "playlist.priced": ("webhooks",),
        "mail.wanted": ("mail",),
        "webhook.disabled": ("webhooks",),
    }
)

TEST_EVENT = "webhook.test"
"""Sent by `test_webhook` to one webhook, whatever it listens to."""


def told_to_webhooks() -> tuple[str, ...]:
    """The topics that a webhook may list, in order."""
    return tuple(sorted(topic for topic, kinds in TOPICS.items() if "webhooks" in kinds))
