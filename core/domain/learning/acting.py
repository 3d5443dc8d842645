"""Who may ask for a command of this context, and whether what it is about may become what was asked.

A command decides under the policies of whoever asks. What it then writes (an enrolment, a score, a certificate) belongs to
the product: `acting_as_service` (core/domain/commands.py) is around those statements. The person stays named, so the audit log is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from core.domain.context import STAFF
from core.errors import ILLEGAL_MOVE, SIGN_IN_NEEDED, Refusal
from core.viewer import Role, Viewer

SIGNED_IN: frozenset[Role] = STAFF | {"authenticated"}
"""Students and teachers are the same role: which they are to a course, its rows say."""


def person_of(viewer: Viewer) -> UUID:
    """The person who asks. Raises Refusal SIGN_IN_NEEDED for the product itself, which takes no courses."""
    if viewer.user_id is None:
        raise Refusal(SIGN_IN_NEEDED)
    return viewer.user_id


def check_move(states: Mapping[str, frozenset[str]], was: str, becomes: str) -> Refusal | None:
    """The move is one of the table of `states`."""
    if becomes in states[was]:
        return None
    return Refusal(
        ILLEGAL_MOVE,
        f"{was} does not become {becomes}.",
        hint=f"From {was}: {', '.join(sorted(states[was])) or 'nothing'}.",
    )
