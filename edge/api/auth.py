"""People come and go: `/auth/v1` in GoTrue's shape, so that its clients work unmodified.

Decides the order of the steps: throttle, look up, verify, write. Knows no SQL, no hashing, and no wording (gotrue.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import get_args
from uuid import UUID

from aiohttp import hdrs, web

from core import errors
from core.database import Database
from core.domain import identity
from core.domain.credentials import canonical_email, check_password, clean_name
from core.domain.identity import Opened, Origin, Person
from core.errors import Fault, Refusal, bad_field
from core.viewer import service
from edge.api.access import Gate
from edge.api.access_keys import AccessKeys
from edge.api.gotrue import (
    SETTINGS,
    PasswordBody,
    RefreshBody,
    SignUpBody,
    UserBody,
    answer,
    providers_of,
    read_body,
    required,
    spoken,
    user_json,
)
from edge.api.passwords import Passwords
from edge.api.throttle import Throttle

MAX_REFRESH_TOKEN_CHARS = 512
MAX_USER_AGENT_CHARS = 512


def routes(
    *,
    database: Database,
    gate: Gate,
    access_keys: AccessKeys,
    passwords: Passwords,
    throttle: Throttle,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[web.RouteDef]:
    """The routes of `/auth/v1`."""
    door = _Door(database, gate, access_keys, passwords, throttle, clock)
    return [
        web.post("/auth/v1/signup", spoken(door.sign_up)),
        web.post("/auth/v1/token", spoken(door.token)),
        web.get("/auth/v1/user", spoken(door.user), allow_head=False),
        web.put("/auth/v1/user", spoken(door.change_user)),
        web.post("/auth/v1/logout", spoken(door.sign_out)),
        web.get("/auth/v1/settings", spoken(_settings), allow_head=False),
        web.get("/auth/v1/health", spoken(_health), allow_head=False),
    ]


@dataclass(frozen=True, slots=True)
class _Door:
    """The handlers, with what they need."""

    database: Database
    gate: Gate
    access_keys: AccessKeys
    passwords: Passwords
    throttle: Throttle
    clock: Callable[[], datetime]

    async def sign_up(self, request: web.Request) -> web.Response:
        """A new account and its first session."""
        body = await read_body(request, SignUpBody)
        email = canonical_email(required(body.email, "email"))
        password = required(body.password, "password")
        named = body.data.name if body.data else None
        name = clean_name(named if named is not None else email.partition("@")[0])
        refusal = check_password(password, email)
        if refusal:
            raise refusal
        await self.throttle.admit(address=request.remote)
        password_hash = await self.passwords.hash(password)
        now = self.clock()
        async with self.database.transaction(service()) as tx:
            user_id = await identity.sign_up(tx, name=name, email=email, password_hash=password_hash, now=now)
            opened = await identity.open_session(tx, user_id, proof=password_hash, origin=_origin(request), now=now)
        return self._session(opened, now)

    async def token(self, request: web.Request) -> web.Response:
        """A session for a password or for a refresh token."""
        match request.query.getall("grant_type", []):
            case ["password"]:
                return await self._sign_in(request)
            case ["refresh_token"]:
                return await self._refresh(request)
        raise Refusal(errors.BAD_QUERY, faults=(Fault("grant_type", "must be password or refresh_token"),))

    async def _sign_in(self, request: web.Request) -> web.Response:
        body = await read_body(request, PasswordBody)
        email = canonical_email(required(body.email, "email"))
        password = required(body.password, "password")
        await self.throttle.admit(address=request.remote, email=email)
        async with self.database.transaction(service()) as tx:
            candidate = await identity.find_for_sign_in(tx, email)
        if candidate is not None:
            refusal = identity.check_lock(candidate, self.clock())
            if refusal:
                raise refusal
        stored = candidate.password if candidate else None
        # An account that is not there, or has no password, is verified against a decoy: same time, same answer.
        matches = await self.passwords.verify(stored, password)
        now = self.clock()
        if not matches or candidate is None or stored is None:
            if candidate is not None:
                async with self.database.transaction(service()) as tx:
                    await identity.record_failure(tx, candidate.user_id, now)
            raise Refusal(errors.INVALID_CREDENTIALS)
        better = await self.passwords.hash(password) if self.passwords.needs_rehash(stored) else None
        async with self.database.transaction(service()) as tx:
            opened = await identity.open_session(tx, candidate.user_id, proof=stored, origin=_origin(request), now=now)
            if better is not None:
                await identity.upgrade_hash(tx, candidate.user_id, old=stored, new=better)
        await self.throttle.forgive(email)
        return self._session(opened, now)

    async def _refresh(self, request: web.Request) -> web.Response:
        body = await read_body(request, RefreshBody)
        token = required(body.refresh_token, "refresh_token")
        if len(token) > MAX_REFRESH_TOKEN_CHARS:
            raise Refusal(errors.BAD_REFRESH_TOKEN)
        now = self.clock()
        async with self.database.transaction(service()) as tx:
            outcome = await identity.rotate_refresh_token(tx, token, now)
        if isinstance(outcome, Refusal):  # raised only here: the transaction that ended the session is committed
            raise outcome
        return self._session(outcome, now)

    async def user(self, request: web.Request) -> web.Response:
        """The person who asks."""
        signed_in = await self.gate.require_user(request)
        async with self.database.transaction(service()) as tx:
            person = await identity.find_person(tx, signed_in.user_id)
        return answer(user_json(_still_there(person)))

    async def change_user(self, request: web.Request) -> web.Response:
        """Another name or password; a new password ends every other session."""
        signed_in = await self.gate.require_user(request)
        body = await read_body(request, UserBody)
        name = clean_name(body.data.name) if body.data and body.data.name is not None else None
        async with self.database.transaction(service()) as tx:
            person = _still_there(await identity.find_person(tx, signed_in.user_id))
            candidate = await identity.find_for_sign_in(tx, person.email)
        if body.email is not None and canonical_email(body.email).lower() != person.email.lower():
            raise bad_field("email", "cannot be changed")
        if body.phone:
            raise bad_field("phone", "cannot be changed")
        stored = candidate.password if candidate else None
        fresh = await self._new_password(request, body, person, stored) if body.password is not None else None
        ended: list[UUID] = []
        async with self.database.transaction(service()) as tx:
            if name is not None:
                await identity.rename(tx, person.id, name)
            if fresh is not None and stored is not None:
                ended = await identity.change_password(
                    tx, person.id, signed_in.session_id, old=stored, new=fresh, now=self.clock()
                )
            person = _still_there(await identity.find_person(tx, person.id))
        self._note_ended(ended)
        return answer(user_json(person))

    async def _new_password(self, request: web.Request, body: UserBody, person: Person, stored: str | None) -> str:
        """The hash of the password asked for, once it may be set."""
        password = required(body.password, "password")
        refusal = check_password(password, person.email)
        if refusal:
            raise refusal
        if stored is None:
            raise bad_field("password", "this account signs in without one")
        await self.throttle.admit(address=request.remote, email=person.email)
        if body.current_password is not None and not await self.passwords.verify(stored, body.current_password):
            raise Refusal(errors.INVALID_CREDENTIALS, faults=(Fault("current_password", "is not right"),))
        if await self.passwords.verify(stored, password):
            raise Refusal(
                errors.WEAK_PASSWORD,
                "New password should be different from the old password.",
                faults=(Fault("password", "must differ from the present one"),),
                data={"error_code": "same_password"},
            )
        await self.throttle.forgive(person.email)
        return await self.passwords.hash(password)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Ends this session, the others or all."""
        signed_in = await self.gate.require_user(request)
        asked = request.query.getall("scope", ["global"])
        scope = next((scope for scope in get_args(identity.Scope) if asked == [scope]), None)
        if scope is None:
            raise Refusal(errors.BAD_QUERY, faults=(Fault("scope", "must be local, others or global"),))
        async with self.database.transaction(service()) as tx:
            ended = await identity.end_sessions(tx, signed_in.user_id, signed_in.session_id, scope, self.clock())
        self._note_ended(ended)
        return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})

    def _note_ended(self, session_ids: list[UUID]) -> None:
        # The announcement tells every process in a moment; this one must know before it answers.
        for session_id in session_ids:
            self.gate.note_change({"t": "sessions", "s": str(session_id)})

    def _session(self, opened: Opened, now: datetime) -> web.Response:
        person = opened.person
        token, access = self.access_keys.mint(
            user_id=person.id,
            session_id=opened.session_id,
            email=person.email,
            platform_role=person.role,
            providers=providers_of(person),
            user_metadata={"name": person.name},
            now=now,
            session_expires_at=opened.expires_at,
        )
        return answer(
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": access.expires_at_s - access.issued_at_s,
                "expires_at": access.expires_at_s,
                "refresh_token": opened.refresh_token,
                "user": user_json(person),
            }
        )


def _still_there(person: Person | None) -> Person:
    if person is None:
        raise Refusal(errors.BAD_ACCESS_TOKEN, "The account has been deleted.", data={"reason": "session_ended"})
    return person


def _origin(request: web.Request) -> Origin:
    agent = request.headers.get(hdrs.USER_AGENT)
    try:
        address = ip_address((request.remote or "").partition("%")[0])
    except ValueError:  # a unix socket's peer has no address
        address = None
    return Origin(address, agent[:MAX_USER_AGENT_CHARS].encode("utf-8", "replace").decode() if agent else None)


async def _settings(_: web.Request) -> web.Response:
    """What is enabled."""
    return answer(SETTINGS)


async def _health(_: web.Request) -> web.Response:
    """That sign-in is served here."""
    return answer({"name": "Penstock", "description": "Penstock signs people in, in GoTrue's shape"})
