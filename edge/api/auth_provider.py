"""`/auth/v1/authorize` and `/callback`: signing in with a provider, as GoTrue does it.

Nothing is stored between the two. The browser keeps a secret in a cookie, the provider carries a signed state back, and each is worth
nothing without the other: a state that was made in another browser ends nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from core import errors
from core.database import DatabaseDown
from core.domain import identity
from core.errors import Fault, Refusal
from core.viewer import service
from edge.api.auth_desk import Desk, origin_of, told
from edge.api.oidc import Providers

COOKIE = "penstock_sign_in"
STATE_LIFETIME_S = 600
MAX_STATE_CHARS = 4096
_CHALLENGE_CHARS = (43, 128)


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the provider carries back for us, signed."""

    provider: str
    target: str
    until_s: int
    browser: str
    """The digest of the secret in the browser's cookie."""
    challenge: str | None = None
    method: Literal["s256", "plain"] = "s256"


@dataclass(frozen=True, slots=True)
class ProviderDoor:
    """The handlers, with what they need."""

    desk: Desk
    providers: Providers

    async def authorize(self, request: web.Request) -> web.Response:
        """Sends the browser to the provider. Raises Refusal PROVIDER_UNKNOWN, BAD_QUERY, UNAVAILABLE."""
        query = request.query
        provider = self.providers.find(query.get("provider", ""))
        challenge, method = _challenge_of(query.get("code_challenge"), query.get("code_challenge_method", "plain"))
        secret = secrets.token_urlsafe(32)
        state = _State(
            provider.name,
            self.desk.target(request, query.get("redirect_to")),
            int(self.desk.clock().timestamp()) + STATE_LIFETIME_S,
            _digest(secret),
            challenge,
            method,
        )
        address = await self.providers.address(
            provider,
            state=self.desk.access_keys.seal(msgspec.json.encode(state)),
            nonce=_derive(secret, "nonce"),
            challenge=_digest(_derive(secret, "verifier")),
            redirect_uri=self._back(request),
        )
        response = web.Response(status=302, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})
        is_https = self.desk.site_of(request).startswith("https:")
        response.set_cookie(
            COOKIE,
            secret,
            max_age=STATE_LIFETIME_S,
            path="/auth/v1/callback",
            httponly=True,
            secure=is_https,
            samesite="Lax",
        )
        return response

    async def come_back(self, request: web.Request) -> web.Response:
        """Where the provider sends the browser, which goes on with a code (PKCE) or a session. Raises Refusal BAD_QUERY for a foreign state."""
        query, secret = request.query, request.cookies.get(COOKIE, "")
        state = self._state(query.get("state", ""), secret)
        try:
            if "error" in query or not query.get("code"):
                # What the provider says about it is its text, and not shown as ours.
                raise Refusal(errors.PROVIDER_FAILED)
            ending = await self._sign_in(request, state, secret, query["code"])
        except (Refusal, DatabaseDown) as failure:
            ending = f"?{told(failure)}" if state.challenge else f"#{told(failure)}"
        target = state.target
        if ending.startswith("?") and "?" in target:
            ending = "&" + ending[1:]
        response = web.Response(
            status=302,
            headers={hdrs.LOCATION: target + ending, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"},
        )
        response.del_cookie(COOKIE, path="/auth/v1/callback")
        return response

    async def _sign_in(self, request: web.Request, state: _State, secret: str, code: str) -> str:
        provider = self.providers.find(state.provider)
        now = self.desk.clock()
        proven = await self.providers.identify(
            provider,
            code=code,
            verifier=_derive(secret, "verifier"),
            nonce=_derive(secret, "nonce"),
            redirect_uri=self._back(request),
            now_s=now.timestamp(),
        )
        async with self.desk.database.transaction(service()) as tx:
            user_id = await identity.find_or_make_person(tx, proven, now)
            if state.challenge is not None:
                return f"?{urlencode({'code': await identity.hand_out_code(tx, user_id, state.challenge, state.method, now)})}"
            opened = await identity.open_session(tx, user_id, proof=None, origin=origin_of(request), now=now)
        session = self.desk.session(opened, now)
        session.pop("user")
        return f"#{urlencode(session)}"

    def _state(self, text: str, secret: str) -> _State:
        wrong = Refusal(
            errors.BAD_QUERY,
            "The sign-in was begun elsewhere, or too long ago.",
            "Begin again.",
            faults=(Fault("state", "is not known here"),),
        )
        body = self.desk.access_keys.unseal(text) if len(text) <= MAX_STATE_CHARS else None
        if body is None:
            raise wrong
        state = msgspec.json.decode(body, type=_State)
        is_ours = hmac.compare_digest(state.browser, _digest(secret))
        if not is_ours or state.until_s <= self.desk.clock().timestamp():
            raise wrong
        return state

    def _back(self, request: web.Request) -> str:
        return self.desk.site_of(request) + "/auth/v1/callback"


def _challenge_of(challenge: str | None, method: str) -> tuple[str | None, Literal["s256", "plain"]]:
    """A client's PKCE challenge (RFC 7636 section 4.2), if it sent one. Raises Refusal BAD_QUERY."""
    if not challenge:
        return None, "s256"
    least, most = _CHALLENGE_CHARS
    if not least <= len(challenge) <= most or not challenge.isascii() or not challenge.isprintable():
        raise Refusal(errors.BAD_QUERY, faults=(Fault("code_challenge", f"must have {least} to {most} characters"),))
    match method.lower():
        case "s256":
            return challenge, "s256"
        case "plain":
            return challenge, "plain"
    raise Refusal(errors.BAD_QUERY, faults=(Fault("code_challenge_method", "must be s256 or plain"),))


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode("utf-8", "replace")).digest()).rstrip(b"=").decode()


def _derive(secret: str, purpose: str) -> str:
    """One secret serves for several: what the provider is shown of one says nothing of the others."""
    return (
        urlsafe_b64encode(hmac.digest(secret.encode(), f"penstock sign-in {purpose}".encode(), "sha256"))
        .rstrip(b"=")
        .decode()
    )
