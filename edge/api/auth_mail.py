"""`/auth/v1` by mail: proving an address, a new password, signing in by a link.

Whoever asks for a mail gets the same answer, in the same time, whether the address is known here or not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from aiohttp import hdrs, web

from core import errors
from core.database import DatabaseDown, Tx
from core.domain import identity
from core.domain.credentials import canonical_email
from core.domain.identity import Origin, Purpose
from core.errors import Fault, Refusal, bad_field
from core.viewer import service
from edge.api.auth_desk import Desk, origin_of, told
from edge.api.gotrue import MailBody, VerifyBody, answer, read_body, required

MAX_TOKEN_CHARS = 512
# GoTrue's words for what a mailed secret is for.
_TYPES: Mapping[str, tuple[Purpose, ...]] = {
    "signup": ("email",),
    "invite": ("email",),
    "email": ("email", "magic_link"),
    "magiclink": ("magic_link",),
    "recovery": ("password_reset",),
    "email_change": ("email_change",),
}

Ask = Callable[[Tx, str, Origin, datetime], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MailDoor:
    """The handlers, with what they need."""

    desk: Desk

    async def verify(self, request: web.Request) -> web.Response:
        """POST /verify: a session for a mailed secret."""
        body = await read_body(request, VerifyBody)
        return answer(await self._redeem(request, required(body.type, "type"), body.token_hash or body.token))

    async def follow_link(self, request: web.Request) -> web.Response:
        """GET /verify: the link in a mail. A browser goes on to the site, with the session in the fragment, which stays with it."""
        query = request.query
        target = self.desk.target(request, query.get("redirect_to"))
        try:
            session = await self._redeem(
                request, required(query.get("type"), "type"), query.get("token_hash") or query.get("token")
            )
        except (Refusal, DatabaseDown) as failure:
            return _go_to(f"{target}#{told(failure)}")
        session.pop("user")
        return _go_to(f"{target}#{urlencode({**session, 'type': query['type']})}")

    async def recover(self, request: web.Request) -> web.Response:
        """POST /recover: a mail with a way to a new password."""
        return await self._mail(request, await read_body(request, MailBody), identity.ask_to_reset)

    async def send_link(self, request: web.Request) -> web.Response:
        """POST /otp and /magiclink: a mail with a link that signs in. It makes no accounts."""
        body = await read_body(request, MailBody)
        if body.phone:
            raise bad_field("phone", "is not taken; send an email")
        return await self._mail(request, body, identity.ask_to_sign_in)

    async def resend(self, request: web.Request) -> web.Response:
        """POST /resend: the mail that proves an address, once more."""
        body = await read_body(request, MailBody)
        if required(body.type, "type") != "signup":
            raise bad_field("type", "must be signup")
        return await self._mail(request, body, identity.ask_to_verify)

    async def _mail(self, request: web.Request, body: MailBody, ask: Ask) -> web.Response:
        email = canonical_email(required(body.email, "email"))
        await self.desk.throttle.admit_mail(address=request.remote, email=email)
        async with self.desk.database.transaction(service()) as tx:
            await ask(tx, email, origin_of(request), self.desk.clock())
        return answer({})

    async def _redeem(self, request: web.Request, type_: str, token: str | None) -> dict[str, object]:
        purposes = _TYPES.get(type_)
        if purposes is None:
            raise Refusal(errors.BAD_FIELD, faults=(Fault("type", f"must be one of {', '.join(_TYPES)}"),))
        token = required(token, "token_hash")
        await self.desk.throttle.admit(address=request.remote)
        if len(token) > MAX_TOKEN_CHARS:
            raise Refusal(errors.BAD_VERIFICATION, data={"reason": "unknown"})
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            redeemed = await identity.redeem(tx, purposes, token, now)
            opened = await identity.open_session(tx, redeemed.user_id, proof=None, origin=origin_of(request), now=now)
        # A session that was kept out until now is let in by this process at once.
        self.desk.note_person(redeemed.user_id)
        return self.desk.session(opened, now)


def _go_to(target: str) -> web.Response:
    return web.Response(
        status=303,
        headers={hdrs.LOCATION: target, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"},
    )
