"""What every part of `/auth/v1` needs: the desk at which people are let in, and what they are handed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from aiohttp import hdrs, web

from core import errors
from core.database import Database, DatabaseDown
from core.domain.identity import Opened, Origin, Person
from core.errors import Refusal
from edge.api.access import Gate, SignedIn
from edge.api.access_keys import AccessKeys
from edge.api.gotrue import providers_of, translate, user_json
from edge.api.passwords import Passwords
from edge.api.throttle import Throttle

MAX_USER_AGENT_CHARS = 512
MAX_TARGET_CHARS = 2048


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people come and go. `site_url` is where browsers find the product; None: where they asked."""

    database: Database
    gate: Gate
    access_keys: AccessKeys
    passwords: Passwords
    throttle: Throttle
    clock: Callable[[], datetime]
    site_url: str | None = None

    def session(self, opened: Opened, now: datetime) -> dict[str, object]:
        """A session as GoTrue hands it out, with a fresh access token."""
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
            impersonated_by=opened.impersonated_by,
        )
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": access.expires_at_s - access.issued_at_s,
            "expires_at": access.expires_at_s,
            "refresh_token": opened.refresh_token,
            "user": user_json(person),
        }

    def note_ended(self, session_ids: list[UUID]) -> None:
        """The announcement tells every process in a moment; this one must know before it answers."""
        for session_id in session_ids:
            self.gate.note_change({"t": "sessions", "s": str(session_id)})

    def note_person(self, user_id: UUID) -> None:
        """The same for what was changed about a person."""
        self.gate.note_change({"t": "users", "u": str(user_id)})

    def site_of(self, request: web.BaseRequest) -> str:
        """Where browsers find the product, without a slash at its end."""
        return self.site_url or str(request.url.origin())

    def target(self, request: web.BaseRequest, asked: str | None) -> str:
        """Where a browser is sent afterwards: within the site, whatever was asked. Raises Refusal BAD_QUERY.

        Sessions travel in the address of the target: anywhere else they would be somebody else's.
        """
        site = self.site_of(request)
        if not asked:
            return site + "/"
        if len(asked) <= MAX_TARGET_CHARS and asked.isprintable() and "\\" not in asked:
            whole = site + asked if asked.startswith("/") and not asked.startswith("//") else asked
            there = urlsplit(whole)
            origins = {(known.scheme, known.netloc) for known in map(urlsplit, (site, str(request.url.origin())))}
            if (there.scheme, there.netloc) in origins:
                return whole.partition("#")[0]
        raise Refusal(
            errors.BAD_QUERY, faults=(errors.Fault("redirect_to", "must lie within this site"),), data={"site": site}
        )


def told(failure: Refusal | DatabaseDown) -> str:
    """What failed, for the address that a browser is sent on to: RFC 6749's `error` (section 4.1.2.1) with GoTrue's keys."""
    refusal = failure if isinstance(failure, Refusal) else Refusal(errors.UNAVAILABLE)
    said = translate(refusal).data
    # A provider that vouches for nobody has denied it; that this is a 502 elsewhere is about who was asked.
    is_denied = refusal.code.status < 500 or refusal.code is errors.PROVIDER_FAILED
    error = "access_denied" if is_denied else "server_error"
    return urlencode({"error": error, "error_code": said["error_code"], "error_description": said["msg"]})


def refuse_visitor(signed_in: SignedIn) -> None:
    """What is the person's own business is not done by an administrator in their name. Raises Refusal NOT_AS_ANOTHER."""
    if "impersonated_by" in signed_in.access.claims:
        raise Refusal(errors.NOT_AS_ANOTHER)


def still_there(person: Person | None) -> Person:
    """The person whose token it is. Raises Refusal BAD_ACCESS_TOKEN."""
    if person is None:
        raise Refusal(errors.BAD_ACCESS_TOKEN, "The account has been deleted.", data={"reason": "session_ended"})
    return person


def origin_of(request: web.BaseRequest) -> Origin:
    """Where a request came from."""
    agent = request.headers.get(hdrs.USER_AGENT)
    try:
        address = ip_address((request.remote or "").partition("%")[0])
    except ValueError:  # a unix socket's peer has no address
        address = None
    return Origin(address, agent[:MAX_USER_AGENT_CHARS].encode("utf-8", "replace").decode() if agent else None)
