"""`/auth/v1/admin`: what administrators of the installation do that hands out a session.

Everything else they do to accounts are commands (core/domain/identity/moderation.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from core.domain import identity
from core.errors import bad_field
from core.viewer import service
from edge.api.auth_desk import Desk, origin_of, refuse_visitor
from edge.api.gotrue import VisitBody, answer, read_body, required
from edge.api.target import parse_id

MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class AdminDoor:
    """The handlers, with what they need."""

    desk: Desk

    async def impersonate(self, request: web.Request) -> web.Response:
        """A session of half an hour in somebody's name, for a reason that is kept. It says whose hands it is in."""
        signed_in = await self.desk.gate.require_account(request)
        refuse_visitor(signed_in)
        subject_id = parse_id(request.match_info["user_id"], "user_id")
        body = await read_body(request, VisitBody)
        reason = required(body.reason, "reason").strip()
        if not reason or len(reason) > MAX_REASON_CHARS or not reason.isprintable():
            raise bad_field("reason", f"must be 1 to {MAX_REASON_CHARS} printable characters")
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            opened = await identity.open_visit(tx, signed_in.user_id, subject_id, reason, origin_of(request), now)
        return answer(self.desk.session(opened, now))
