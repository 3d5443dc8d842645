"""What the keys in Redis are called.

    ps:{owner}:<session>      "n" granted, "o" opened, "x:<reason>" ended; its TTL is the lease
    ent:{owner}:<title>       what PostgreSQL said of the right to watch
    streams:{owner}           sorted set of devices by the end of their lease; what counts against a plan's limit
    nets:{owner}:<session>    sorted set of the places it is used from, by when that was; only where sessions are bound to them

Everything that one admission looks at belongs to one owner, and the braces make a Redis Cluster keep it in one slot: a
script may touch no other. The owner is the person, or for guests, who have no streams to count, the title
(docs/decisions/0006-one-admission-one-slot.md).
"""

from __future__ import annotations

from uuid import UUID

ANY = "*"


def owner(user_id: UUID | None, content_id: UUID) -> str:
    """The hash tag of somebody's playing."""
    return user_id.hex if user_id is not None else f"guest-{content_id.hex}"


def session_key(owner: str, session_id: UUID) -> str:
    """Where a session's state is."""
    return f"ps:{{{owner}}}:{session_id.hex}"


def entitlement_key(owner: str, content_id: UUID) -> str:
    """Where the right to watch a title is."""
    return f"ent:{{{owner}}}:{content_id.hex}"


def entitlement_pattern(user_id: UUID | None, content_id: UUID | None) -> str:
    """What SCAN finds the rights of a user, to a title, or all by. In its patterns braces stand for themselves."""
    return f"ent:{{{user_id.hex if user_id else ANY}}}:{content_id.hex if content_id else ANY}"


def streams_key(owner: str) -> str:
    """Where a person's streams are."""
    return f"streams:{{{owner}}}"


def places_key(owner: str, session_id: UUID) -> str:
    """Where the places of a session's use are."""
    return f"nets:{{{owner}}}:{session_id.hex}"
