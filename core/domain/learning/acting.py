"""Who a command of this context acts for, and how it writes what they may not write by themselves.

A command decides under the policies of whoever asks. What it then writes (an enrolment, a score, a certificate) belongs to
the product: it takes the service's part for those statements. The person stays named, so the audit log is true.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from core.database import Tx
from core.domain.context import STAFF
from core.errors import ILLEGAL_MOVE, SIGN_IN_NEEDED, Refusal
from core.queries import load
from core.viewer import Role, Viewer

SQL = load("core.domain.learning", "acting.sql")

SIGNED_IN: frozenset[Role] = STAFF | {"authenticated"}
"""Students and teachers are the same role: which they are to a course, its rows say."""


def person_of(viewer: Viewer) -> UUID:
    """The person who asks. Raises Refusal SIGN_IN_NEEDED for the product itself, which takes no courses."""
    if viewer.user_id is None:
        raise Refusal(SIGN_IN_NEEDED)
    return viewer.user_id


@asynccontextmanager
async def as_service(tx: Tx) -> AsyncIterator[None]:
    """Past the policies until it ends; what raises inside takes the transaction with it, and the part that was taken."""
    was = await tx.value(SQL["service_part_take"])
    yield
    await tx.run(SQL["part_give_back"], was)


def check_move(states: Mapping[str, frozenset[str]], was: str, becomes: str) -> Refusal | None:
    """The move is one of the table of `states`."""
    if becomes in states[was]:
        return None
    return Refusal(
        ILLEGAL_MOVE,
        f"{was} does not become {becomes}.",
        hint=f"From {was}: {', '.join(sorted(states[was])) or 'nothing'}.",
    )
