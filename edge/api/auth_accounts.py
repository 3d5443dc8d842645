"""`/auth/v1/admin/users`: accounts in the hands of the service key, as supabase-js's `auth.admin` has them.

Decides what of GoTrue's attributes is kept; the rest is refused by name. What else a client of GoTrue may ask for and is not
offered here, is answered in its words.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import hdrs, web

from core import errors
from core.domain import identity
from core.domain.credentials import canonical_email, check_password, clean_name
from core.domain.identity import Change
from core.errors import Refusal, bad_field
from core.viewer import service
from edge.api.auth_desk import Desk
from edge.api.gotrue import AccountBody, answer, read_body, required, spoken, user_json
from edge.api.target import parse_id

PER_PAGE, MOST_PER_PAGE, LAST_PAGE = 50, 1000, 1_000_000
MOST_BAN = timedelta(days=100 * 365)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?(?:ms|s|m|h)){1,4}")
_PART = re.compile(r"([0-9.]+)(ms|s|m|h)")
USERS = "/auth/v1/admin/users"
NOT_HERE = (
    "/auth/v1/sso",
    "/auth/v1/invite",
    "/auth/v1/admin/generate_link",
    "/auth/v1/user/identities/{rest:.+}",
    "/auth/v1/passkeys/{rest:.+}",
)


@dataclass(frozen=True, slots=True)
class AccountDoor:
    """The handlers, with what they need."""

    desk: Desk

    def routes(self) -> list[web.RouteDef]:
        """Its routes."""
        return [
            web.get(USERS, spoken(self.list), allow_head=False),
            web.post(USERS, spoken(self.create)),
            web.get(USERS + "/{user_id}", spoken(self.get), allow_head=False),
            web.put(USERS + "/{user_id}", spoken(self.change)),
            web.delete(USERS + "/{user_id}", spoken(self.delete)),
            web.get("/auth/v1/reauthenticate", spoken(reauthenticate), allow_head=False),
            *(
                web.route("*", path, spoken(no_second_factor))
                for path in ("/auth/v1/factors", "/auth/v1/factors/{rest:.+}")
            ),
            *(web.route("*", path, spoken(not_offered)) for path in NOT_HERE),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """A page of accounts, the newest first; how many there are is in X-Total-Count, the pages around it in Link."""
        self.desk.gate.require_service(request)
        page = _number(request, "page", 1, LAST_PAGE)
        per_page = _number(request, "per_page", PER_PAGE, MOST_PER_PAGE)
        async with self.desk.database.transaction(service()) as tx:
            people, total = await identity.list_people(tx, page, per_page)
        response = answer({"users": [user_json(person) for person in people], "aud": "authenticated"})
        last = max(1, -(-total // per_page))
        # `page` comes first: auth-js reads what follows the first `=` of a link.
        links = [
            f'<{USERS}?page={at}&per_page={per_page}>; rel="{rel}"' for at, rel in ((page + 1, "next"), (last, "last"))
        ]
        response.headers[hdrs.LINK] = ", ".join(links if page < last else links[1:])
        response.headers["X-Total-Count"] = str(total)
        return response

    async def get(self, request: web.Request) -> web.Response:
        """One account."""
        self.desk.gate.require_service(request)
        async with self.desk.database.transaction(service()) as tx:
            return answer(user_json(await identity.get_person(tx, parse_id(request.match_info["user_id"], "user_id"))))

    async def create(self, request: web.Request) -> web.Response:
        """An account, with no mail to it. Without a password its person comes in by a mailed link, or chooses one by /recover."""
        self.desk.gate.require_service(request)
        body = await read_body(request, AccountBody)
        email = canonical_email(required(body.email, "email"))
        now = self.desk.clock()
        change = await self._change(body, email, now)
        name = change.name or clean_name(email.partition("@")[0])
        # Nobody knows what it is the hash of.
        password_hash = change.password_hash or await self.desk.passwords.hash(secrets.token_urlsafe(32))
        rest = Change(is_proven=change.is_proven, role=change.role, bans=change.bans, banned_until=change.banned_until)
        async with self.desk.database.transaction(service()) as tx:
            return answer(user_json(await identity.make_person(tx, name, email, password_hash, rest, now)))

    async def change(self, request: web.Request) -> web.Response:
        """Other attributes of an account, at once and with no mail. A new password or address ends its sessions."""
        self.desk.gate.require_service(request)
        user_id = parse_id(request.match_info["user_id"], "user_id")
        body = await read_body(request, AccountBody)
        now = self.desk.clock()
        async with self.desk.database.transaction(service()) as tx:
            person = await identity.get_person(tx, user_id)
        change = await self._change(body, person.email, now)
        async with self.desk.database.transaction(service()) as tx:
            person, ended = await identity.change_person(tx, user_id, change, now)
        self.desk.note_ended(ended)
        self.desk.note_person(user_id)
        return answer(user_json(person))

    async def delete(self, request: web.Request) -> web.Response:
        """Erases an account as `erase_user` does, for good: what others need stays, nameless."""
        self.desk.gate.require_service(request)
        user_id = parse_id(request.match_info["user_id"], "user_id")
        async with self.desk.database.transaction(service()) as tx:
            await identity.erase_person(tx, user_id, self.desk.clock())
        self.desk.note_person(user_id)
        return answer({})

    async def _change(self, body: AccountBody, present_email: str, now: datetime) -> Change:
        for path in ("phone", "id", "password_hash"):
            if getattr(body, path):
                raise bad_field(path, "cannot be set here")
        email = canonical_email(body.email) if body.email is not None else None
        password_hash = None
        if body.password is not None:
            if refusal := check_password(body.password, email or present_email):
                raise refusal
            password_hash = await self.desk.passwords.hash(body.password)
        named = body.user_metadata.name if body.user_metadata else None
        bans, until = None, None
        if body.ban_duration is not None:
            bans = body.ban_duration != "none"
            until = now + _duration(body.ban_duration) if bans else None
        return Change(
            name=clean_name(named, "user_metadata.name") if named is not None else None,
            email=email if email is not None and email.lower() != present_email.lower() else None,
            is_proven=body.email_confirm,
            password_hash=password_hash,
            role=body.app_metadata.role if body.app_metadata else None,
            bans=bans,
            banned_until=until,
        )


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    """A number from 1 to `most` in the address; auth-js sends an empty text for none."""
    given = [text for text in request.query.getall(name, []) if text]
    if not given:
        return default
    text = given[0]
    if len(given) > 1 or not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most:
        raise bad_field(name, f"must be a number from 1 to {most}")
    return int(text)


def _duration(text: str) -> timedelta:
    """How long a ban lasts, in Go's words: `24h`, `1h30m`. Raises Refusal BAD_FIELD."""
    if _DURATION.fullmatch(text) is None:
        raise bad_field("ban_duration", "must be like 24h, 1h30m or none")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= MOST_BAN.total_seconds():
        raise bad_field("ban_duration", f"must be more than 0s and at most {MOST_BAN.days * 24}h")
    return timedelta(seconds=seconds)


async def reauthenticate(_: web.Request) -> web.Response:
    """No password change asks for a mailed code here."""
    raise Refusal(errors.NOT_OFFERED, hint="Prove a change of the password by `current_password` of PUT /auth/v1/user.")


async def not_offered(_: web.Request) -> web.Response:
    """What auth-js can ask for and nobody answers here: told in its own words, not as an address that is none."""
    raise Refusal(errors.NOT_OFFERED)


async def no_second_factor(_: web.Request) -> web.Response:
    """Whatever is asked about second factors."""
    data = {"error_code": "mfa_totp_enroll_not_enabled"}
    raise Refusal(errors.NOT_OFFERED, "There are no second factors here.", data=data)
