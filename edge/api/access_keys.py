"""Access tokens and the installation's two API keys: minted and checked here, as GoTrue shapes them.

Decides whether a text was signed by this installation and is in date. Knows no HTTP and no database: whether its
session has been ended since is the gate's business (access.py).
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from core.errors import ACCESS_TOKEN_EXPIRED, BAD_ACCESS_TOKEN, Refusal
from core.keys import Key, KeyRing

ISSUER = "penstock"
AUDIENCE = "authenticated"
ALGORITHMS = ("HS256",)
PURPOSE = b"penstock access token"
STATE_PURPOSE = b"penstock sign-in state"
LIFETIME = timedelta(hours=1)
LEEWAY_S = 5
MAX_TOKEN_CHARS = 8192
REMEMBERED_TOKENS = 10_000

# The API keys are printed into web pages and configuration: the same ring must always give the same two.
API_KEYS_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
API_KEYS_UNTIL = datetime(2036, 1, 1, tzinfo=UTC)

TokenRole = Literal["anon", "authenticated", "service_role"]


@dataclass(frozen=True, slots=True)
class Access:
    """What a token says; Unix seconds. `user_id` and `session_id` are there just when the role is `authenticated`."""

    role: TokenRole
    user_id: UUID | None
    session_id: UUID | None
    platform_role: str | None
    email: str | None
    issued_at_s: int
    expires_at_s: int
    claims: Mapping[str, Any]


class AccessKeys:
    """Mints and verifies, with keys derived for this one purpose: no playback token verifies here, nor the reverse."""

    def __init__(self, ring: KeyRing, *, remembered: int = REMEMBERED_TOKENS) -> None:
        self._newest = ring.newest.id
        self._keys = {key.id: _derive(key) for key in ring.keys}
        self._state_keys = {key.id: hmac.digest(key.secret, STATE_PURPOSE, "sha256") for key in ring.keys}
        self._remembered = remembered
        self._verified: dict[str, Access] = {}

    def mint(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        email: str,
        platform_role: str,
        providers: Sequence[str],
        user_metadata: Mapping[str, object],
        now: datetime,
        session_expires_at: datetime | None = None,
        impersonated_by: UUID | None = None,
    ) -> tuple[str, Access]:
        """An access token of LIFETIME, shorter when its session ends sooner, and what it says."""
        issued_at_s = int(now.timestamp())
        expires_at_s = issued_at_s + int(LIFETIME.total_seconds())
        if session_expires_at is not None:
            expires_at_s = min(expires_at_s, int(session_expires_at.timestamp()))
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": str(user_id),
            "aud": AUDIENCE,
            "role": "authenticated",
            "email": email,
            "phone": "",
            "session_id": str(session_id),
            "app_metadata": {
                "provider": providers[0] if providers else "email",
                "providers": list(providers),
                "role": platform_role,
            },
            "user_metadata": dict(user_metadata),
            "is_anonymous": False,
            "aal": "aal1",
            "iat": issued_at_s,
            "exp": expires_at_s,
        }
        if impersonated_by is not None:
            claims["impersonated_by"] = str(impersonated_by)
        return self._sign(claims), _read(claims)

    def anon_key(self) -> str:
        """The public key of the installation: whoever sends it is a guest."""
        return self._api_key("anon")

    def service_key(self) -> str:
        """The secret key of the installation: whoever sends it is the product itself."""
        return self._api_key("service_role")

    def verify(self, token: str, now: datetime) -> Access:
        """What `token` says. Raises Refusal BAD_ACCESS_TOKEN or ACCESS_TOKEN_EXPIRED.

        A text seen before is not verified again; its expiry is looked at every time.
        """
        now_s = now.timestamp()
        access = self._verified.get(token)
        if access is None:
            access = self._decode(token)
            if access.issued_at_s > now_s + LEEWAY_S:
                raise Refusal(BAD_ACCESS_TOKEN, "The access token is from the future.")
            if len(self._verified) >= self._remembered:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = access
        if now_s >= access.expires_at_s + LEEWAY_S:
            self._verified.pop(token, None)
            raise Refusal(ACCESS_TOKEN_EXPIRED)
        return access

    def seal(self, body: bytes) -> str:
        """`body` signed, for somebody else to carry; they can read it. No access token: its purpose is in what is signed."""
        signature = hmac.digest(self._state_keys[self._newest], body, "sha256")
        return ".".join((self._newest, _text(body), _text(signature)))

    def unseal(self, text: str) -> bytes | None:
        """What was sealed here; None for anything else."""
        key_id, _, rest = text.partition(".")
        body, _, signature = rest.partition(".")
        key = self._state_keys.get(key_id)
        try:
            raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
            given = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        except ValueError:
            return None
        return raw if key is not None and hmac.compare_digest(hmac.digest(key, raw, "sha256"), given) else None

    def _api_key(self, role: Literal["anon", "service_role"]) -> str:
        since_s, until_s = int(API_KEYS_SINCE.timestamp()), int(API_KEYS_UNTIL.timestamp())
        return self._sign({"iss": ISSUER, "role": role, "iat": since_s, "exp": until_s})

    def _sign(self, claims: Mapping[str, Any]) -> str:
        header = {"alg": ALGORITHMS[0], "kid": self._newest}
        return jwt.encode(header, dict(claims), self._keys[self._newest], algorithms=list(ALGORITHMS))

    def _decode(self, token: str) -> Access:
        if len(token) > MAX_TOKEN_CHARS or not token.isascii() or not _is_canonical(token):
            raise Refusal(BAD_ACCESS_TOKEN)
        try:
            decoded = jwt.decode(token, self._key_named, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise Refusal(BAD_ACCESS_TOKEN) from error
        return _read(decoded.claims)

    def _key_named(self, token: Any) -> OctKey:
        """The key that the header names: no other one is tried."""
        key_id = token.headers().get("kid")
        key = self._keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Refusal(BAD_ACCESS_TOKEN, "The access token is signed with a key that is not known here.")
        return key


def _derive(key: Key) -> OctKey:
    return OctKey.import_key(hmac.digest(key.secret, PURPOSE, "sha256"))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _is_canonical(token: str) -> bool:
    """Whether the signature is written the one way it is made.

    43 base64url characters carry 258 bits, a signature 256: without this, four texts would verify as the same token.
    """
    _, dot, signature = token.rpartition(".")
    if not dot or len(signature) != 43:
        return False
    try:
        return urlsafe_b64encode(urlsafe_b64decode(signature + "=")).rstrip(b"=") == signature.encode("ascii")
    except ValueError:
        return False


def _read(claims: Mapping[str, Any]) -> Access:
    """Claims whose signature held, as a record. Raises Refusal BAD_ACCESS_TOKEN for another product's or purpose's."""
    role, issued_at_s, expires_at_s = claims.get("role"), claims.get("iat"), claims.get("exp")
    if claims.get("iss") != ISSUER or type(issued_at_s) is not int or type(expires_at_s) is not int:
        raise Refusal(BAD_ACCESS_TOKEN)
    frozen = MappingProxyType(dict(claims))
    if role == "anon" or role == "service_role":
        return Access(role, None, None, None, None, issued_at_s, expires_at_s, frozen)
    metadata = claims.get("app_metadata")
    if role != "authenticated" or claims.get("aud") != AUDIENCE or not isinstance(metadata, dict):
        raise Refusal(BAD_ACCESS_TOKEN)
    try:
        user_id, session_id = UUID(claims["sub"]), UUID(claims["session_id"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Refusal(BAD_ACCESS_TOKEN) from error
    return Access(
        role, user_id, session_id, str(metadata.get("role")), claims.get("email"), issued_at_s, expires_at_s, frozen
    )
