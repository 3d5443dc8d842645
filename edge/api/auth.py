"""People come and go: `/auth/v1` in GoTrue's shape, so that its clients work unmodified.

Decides the order of the steps: throttle, look up, verify, write. Knows no SQL, no hashing, and no wording (gotrue.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from aiohttp import hdrs, web

from core import errors
from core.database import Database
from core.domain import identity
from core.domain.credentials import canonical_email, check_password, clean_name
from core.domain.identity import Candidate, Person
from core.errors import Fault, Refusal, bad_field
from core.viewer import service
from edge.api.access import Gate
from edge.api.access_keys import AccessKeys
from edge.api.auth_accounts import AccountDoor
from edge.api.auth_admin import AdminDoor
from edge.api.auth_desk import Desk, origin_of, refuse_visitor, still_there
from edge.api.auth_mail import MailDoor
from edge.api.auth_provider import ProviderDoor
from edge.api.gotrue import (
    SETTINGS,
    CodeBody,
    PasswordBody,
    RefreshBody,
    SignUpBody,
    UserBody,
    answer,
    read_body,
    required,
    spoken,
    stranger_json,
    user_json,
)
from edge.api.oidc import Providers
from edge.api.passwords import Passwords
from edge.api.throttle import Throttle

MAX_SECRET_CHARS = 512


def routes(
    *,
    database: Database,
    gate: Gate,
    access_keys: AccessKeys,
    passwords: Passwords,
    throttle: Throttle,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    site_url: str | None = None,
    providers: Providers | None = None,
) -> list[web.RouteDef]:
    """The routes of `/auth/v1`."""
    desk = Desk(database, gate, access_keys, passwords, throttle, clock, site_url)
    known = providers or Providers(())
    door, mail, admin = _Door(desk, known.names), MailDoor(desk), AdminDoor(desk)
    provider = ProviderDoor(desk, known)
    return [
        web.post("/auth/v1/signup", spoken(door.sign_up)),
        web.post("/auth/v1/token", spoken(door.token)),
        web.get("/auth/v1/user", spoken(door.user), allow_head=False),
        web.put("/auth/v1/user", spoken(door.change_user)),
        web.post("/auth/v1/logout", spoken(door.sign_out)),
        web.get("/auth/v1/settings", spoken(door.settings), allow_head=False),
        web.get("/auth/v1/health", spoken(_health), allow_head=False),
        web.post("/auth/v1/verify", spoken(mail.verify)),
        web.get("/auth/v1/verify", spoken(mail.follow_link), allow_head=False),
        web.post("/auth/v1/resend", spoken(mail.resend)),
        web.post("/auth/v1/recover", spoken(mail.recover)),
        web.post("/auth/v1/otp", spoken(mail.send_link)),
        web.post("/auth/v1/magiclink", spoken(mail.send_link)),
        web.get("/auth/v1/authorize", spoken(provider.authorize), allow_head=False),
        web.get("/auth/v1/callback", spoken(provider.come_back), allow_head=False),
        web.post("/auth/v1/admin/users/{user_id}/impersonate", spoken(admin.impersonate)),
        *AccountDoor(desk).routes(),
    ]


@dataclass(frozen=True, slots=True)
class _Door:
    """The handlers, with what they need."""

    desk: Desk
    provider_names: tuple[str, ...]

    async def sign_up(self, request: web.Request) -> web.Response:
        """A new account, a mail to prove its address, and its first session; without one where the address has to be proven first.

        There nobody learns whether an address has an account: whoever has it is answered like everybody else.
        """
        body = await read_body(request, SignUpBody)
        email = canonical_email(required(body.email, "email"))
        password = required(body.password, "password")
        named = body.data.name if body.data else None
        name = clean_name(named if named is not None else email.partition("@")[0])
        refusal = check_password(password, email)
        if refusal:
            raise refusal
        await self.desk.throttle.admit(address=request.remote)
        password_hash = await self.desk.passwords.hash(password)
        now, origin = self.desk.clock(), origin_of(request)
        try:
            async with self.desk.database.transaction(service()) as tx:
                user_id = await identity.sign_up(tx, name=name, email=email, password_hash=password_hash, now=now)
                await identity.ask_to_verify(tx, email, origin, now)
                candidate = await identity.lock_candidate(tx, user_id)
                if candidate is not None and candidate.account.must_verify:
                    return answer(user_json(still_there(await identity.find_person(tx, user_id))))
                opened = await identity.open_session(tx, user_id, proof=password_hash, origin=origin, now=now)
        except Refusal as refusal:
            if refusal.code is errors.EMAIL_TAKEN and await self._asks_for_proof():
                return answer(stranger_json(email, name, now))
            raise
        return answer(self.desk.session(opened, now))

    async def _asks_for_proof(self) -> bool:
        async with self.desk.database.transaction(service()) as tx:
            return await identity.asks_for_proof(tx)

    async def token(self, request: web.Request) -> web.Response:
        """A session for a password or for a refresh token."""
        match request.query.getall("grant_type", []):
            case ["password"]:
                return await self._sign_in(request)
            case ["refresh_token"]:
                return await self._refresh(request)
            case ["pkce"]:
                return await self._exchange(request)
        raise Refusal(errors.BAD_QUERY, faults=(Fault("grant_type", "must be password, refresh_token or pkce"),))

    async def _sign_in(self, request: web.Request) -> web.Response:
        body = await read_body(request, PasswordBody)
        email = canonical_email(required(body.email, "email"))
        password = required(body.password, "password")
        await self.desk.throttle.admit(address=request.remote, email=email)
        async with self.desk.database.transaction(service()) as tx:
            candidate = await identity.find_for_sign_in(tx, email)
        if candidate is not None:
            refusal = identity.check_lock(candidate, self.desk.clock())
            if refusal:
                await self._remember(request, candidate, "locked")
                raise refusal
        stored = candidate.password if candidate else None
        # An account that is not there, or has no password, is verified against a decoy: same time, same answer.
        matches = await self.desk.passwords.verify(stored, password)
        now = self.desk.clock()
        if not matches or candidate is None or stored is None:
            if candidate is not None:
                async with self.desk.database.transaction(service()) as tx:
                    await identity.record_failure(tx, candidate.user_id, now, origin_of(request))
            raise Refusal(errors.INVALID_CREDENTIALS)
        better = await self.desk.passwords.hash(password) if self.desk.passwords.needs_rehash(stored) else None
        try:
            async with self.desk.database.transaction(service()) as tx:
                opened = await identity.open_session(
                    tx, candidate.user_id, proof=stored, origin=origin_of(request), now=now
                )
                if better is not None:
                    await identity.upgrade_hash(tx, candidate.user_id, old=stored, new=better)
        except Refusal as refusal:
            if refusal.data.get("reason"):
                await self._remember(request, candidate, str(refusal.data["reason"]))
            raise
        await self.desk.throttle.forgive(email)
        return answer(self.desk.session(opened, now))

    async def _remember(self, request: web.Request, candidate: Candidate, why: str) -> None:
        """The transaction that refused has left no trace: this one does."""
        async with self.desk.database.transaction(service()) as tx:
            await identity.remember_refusal(tx, candidate.user_id, why, origin_of(request), self.desk.clock())

    async def _refresh(self, request: web.Request) -> web.Response:
        body = await read_body(request, RefreshBody)
        token = required(body.refresh_token, "refresh_token")
        if len(token) > MAX_SECRET_CHARS:
            raise Refusal(errors.BAD_REFRESH_TOKEN)
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            outcome = await identity.rotate_refresh_token(tx, token, now)
        if isinstance(outcome, Refusal):  # raised only here: the transaction that ended the session is committed
            raise outcome
        return answer(self.desk.session(outcome, now))

    async def _exchange(self, request: web.Request) -> web.Response:
        """A session for the code that a provider's sign-in ended with (RFC 7636)."""
        body = await read_body(request, CodeBody)
        code, verifier = required(body.auth_code, "auth_code"), required(body.code_verifier, "code_verifier")
        if max(len(code), len(verifier)) > MAX_SECRET_CHARS:
            raise Refusal(errors.BAD_VERIFICATION)
        await self.desk.throttle.admit(address=request.remote)
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            user_id = await identity.redeem_code(tx, code, verifier, now)
            opened = await identity.open_session(tx, user_id, proof=None, origin=origin_of(request), now=now)
        return answer(self.desk.session(opened, now))

    async def user(self, request: web.Request) -> web.Response:
        """The person who asks."""
        signed_in = await self.desk.gate.require_account(request)
        async with self.desk.database.transaction(service()) as tx:
            person = await identity.find_person(tx, signed_in.user_id)
        return answer(user_json(still_there(person)))

    async def change_user(self, request: web.Request) -> web.Response:
        """Another name, address or password. An address is changed when the mail to it has been answered; a new password ends
        every other session.
        """
        signed_in = await self.desk.gate.require_account(request)
        body = await read_body(request, UserBody)
        name = clean_name(body.data.name) if body.data and body.data.name is not None else None
        email = canonical_email(body.email) if body.email is not None else None
        async with self.desk.database.transaction(service()) as tx:
            person = still_there(await identity.find_person(tx, signed_in.user_id))
            candidate = await identity.find_for_sign_in(tx, person.email)
        if body.phone:
            raise bad_field("phone", "cannot be changed")
        if body.password is not None or (email is not None and email.lower() != person.email.lower()):
            refuse_visitor(signed_in)
        stored = candidate.password if candidate else None
        fresh = await self._new_password(request, body, person, stored) if body.password is not None else None
        ended: list[UUID] = []
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            if name is not None:
                await identity.rename(tx, person.id, name)
            if fresh is not None:
                ended = await identity.change_password(
                    tx, person.id, signed_in.session_id, old=stored, new=fresh, now=now
                )
                await identity.warn(tx, person.id, "password_changed")
            if email is not None and email.lower() != person.email.lower():
                await identity.ask_to_verify_change(tx, person.id, email, now)
            person = still_there(await identity.find_person(tx, person.id))
        self.desk.note_ended(ended)
        return answer(user_json(person))

    async def _new_password(self, request: web.Request, body: UserBody, person: Person, stored: str | None) -> str:
        """The hash of the password asked for, once it may be set."""
        password = required(body.password, "password")
        refusal = check_password(password, person.email)
        if refusal:
            raise refusal
        await self.desk.throttle.admit(address=request.remote, email=person.email)
        passwords = self.desk.passwords
        if body.current_password is not None and not await passwords.verify(stored, body.current_password):
            raise Refusal(errors.INVALID_CREDENTIALS, faults=(Fault("current_password", "is not right"),))
        if await passwords.verify(stored, password):
            raise Refusal(
                errors.WEAK_PASSWORD,
                "New password should be different from the old password.",
                faults=(Fault("password", "must differ from the present one"),),
                data={"error_code": "same_password"},
            )
        await self.desk.throttle.forgive(person.email)
        return await passwords.hash(password)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Ends this session, the others or all."""
        signed_in = await self.desk.gate.require_account(request)
        asked = request.query.getall("scope", ["global"])
        scope = next((scope for scope in get_args(identity.Scope) if asked == [scope]), None)
        if scope is None:
            raise Refusal(errors.BAD_QUERY, faults=(Fault("scope", "must be local, others or global"),))
        async with self.desk.database.transaction(service()) as tx:
            ended = await identity.end_sessions(tx, signed_in.user_id, signed_in.session_id, scope, self.desk.clock())
        self.desk.note_ended(ended)
        return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})

    async def settings(self, _: web.Request) -> web.Response:
        """What is enabled."""
        external = {**SETTINGS["external"], **dict.fromkeys(self.provider_names, True)}
        return answer({**SETTINGS, "external": external, "mailer_autoconfirm": not await self._asks_for_proof()})


async def _health(_: web.Request) -> web.Response:
    """That sign-in is served here."""
    return answer({"name": "Penstock", "description": "Penstock signs people in, in GoTrue's shape"})
