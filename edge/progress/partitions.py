"""The parts of the stream: which one a person's beats go to, and what its keys are called. Pure.

All keys of a part carry one hash tag, so that one step may touch them all in a cluster too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from edge.progress.beat import Beat

COUNT_KEY = "progress:partitions"
"""How many parts have ever been written to: one that a smaller setting leaves behind is still drained."""


def partition_of(owner: UUID, partitions: int) -> int:
    """The part of a person, or of a guest's session: the same for all of their beats, so one drain has them in order."""
    return owner.int % partitions


def split(beats: Iterable[Beat], partitions: int) -> dict[int, list[Beat]]:
    """`beats` by part."""
    parts: defaultdict[int, list[Beat]] = defaultdict(list)
    for beat in beats:
        parts[(beat.user_id or beat.session_id).int % partitions].append(beat)
    return parts


def stream_key(partition: int) -> str:
    """Batches of beats that are not in PostgreSQL yet."""
    return f"{{progress:{partition}}}:beats"


def dead_key(partition: int) -> str:
    """The dead letters: entries that could not be written, each with its reason."""
    return f"{{progress:{partition}}}:dead"


def trials_key(partition: int) -> str:
    """How often an entry has failed by itself."""
    return f"{{progress:{partition}}}:trials"


def newest_key(partition: int, user: UUID) -> str:
    """A person's newest positions (newest.py)."""
    return newest_prefix(partition) + user.hex


def newest_prefix(partition: int) -> str:
    """All but the person of a `newest_key`."""
    return f"{{progress:{partition}}}:newest:"
