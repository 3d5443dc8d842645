"""Sign-in providers by OpenID Connect: where they are, what they are asked, and whether their answer is genuine.

Decides whom a provider vouches for (OpenID Connect Core 1.0, section 3.1.3.7). Knows no accounts and no sessions of ours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
import msgspec
import structlog
from aiohttp import hdrs
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from core.domain.credentials import canonical_email, clean_name
from core.domain.identity import ProviderIdentity
from core.errors import PROVIDER_FAILED, PROVIDER_UNKNOWN, UNAVAILABLE, Refusal
from edge.settings_providers import Provider

log = structlog.get_logger(__name__)

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 256 * 1024
KEPT_S = 3600.0
"""How long a provider's description and keys are believed; a key that is not among them is looked for again at once."""
KEYS_AGAIN_S = 60.0
"""Not more often than this: ids of keys come from outside."""
CLOCK_SKEW_S = 120
# What a provider may sign with: public keys only. `none`, and secrets shared with whoever reads our settings, are not among them.
ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
SCOPE = "openid email profile"


class _Description(msgspec.Struct, frozen=True):
    """What we need of /.well-known/openid-configuration."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    scope: str | None = None


@dataclass(slots=True)
class _Known:
    description: _Description
    keys: KeySet
    read_s: float


class Providers:
    """The providers of the settings. Each is asked where it is when it is first used."""

    def __init__(self, providers: tuple[Provider, ...]) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._known: dict[str, _Known] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called here."""
        return tuple(self._providers)

    def find(self, name: str) -> Provider:
        """The provider of that name. Raises Refusal PROVIDER_UNKNOWN."""
        provider = self._providers.get(name)
        if provider is None:
            raise Refusal(PROVIDER_UNKNOWN, hint=f"Known: {', '.join(self.names)}." if self._providers else None)
        return provider

    async def address(self, provider: Provider, *, state: str, nonce: str, challenge: str, redirect_uri: str) -> str:
        """Where the browser is sent to sign in. Raises Refusal UNAVAILABLE."""
        known = await self._describe(provider)
        asked = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = known.description.authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def identify(
        self, provider: Provider, *, code: str, verifier: str, nonce: str, redirect_uri: str, now_s: float
    ) -> ProviderIdentity:
        """Whom the provider vouches for with `code`. Raises Refusal PROVIDER_FAILED, UNAVAILABLE."""
        known = await self._describe(provider)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        # RFC 6749 section 2.3.1: both are encoded as in a form first.
        login = aiohttp.encode_basic_auth(quote_plus(provider.client_id), quote_plus(provider.client_secret))
        said = await self._ask(provider, "POST", known.description.token_endpoint, data=form, login=login)
        tokens = _read(provider, said, _Tokens)
        claims = await self._claims(provider, known, tokens.id_token)
        check_claims(claims, issuer=known.description.issuer, client_id=provider.client_id, nonce=nonce, now_s=now_s)
        return identity_of(provider, claims, tokens.scope)

    async def _claims(self, provider: Provider, known: _Known, id_token: str) -> Mapping[str, Any]:
        for again in (False, True):
            if again:
                if time.monotonic() - known.read_s < KEYS_AGAIN_S and known is self._known.get(provider.name):
                    break
                known = await self._describe(provider, fresh=True)
            try:
                return dict(jwt.decode(id_token, known.keys, algorithms=list(ALGORITHMS)).claims)
            except (JoseError, ValueError, TypeError, RecursionError) as error:
                # A new key may have signed it; its id is not to be trusted with more than one look.
                log.info("id_token_not_verified", provider=provider.name, error=type(error).__name__)
        raise Refusal(PROVIDER_FAILED)

    async def _describe(self, provider: Provider, *, fresh: bool = False) -> _Known:
        known = self._known.get(provider.name)
        if known is not None and not fresh and time.monotonic() - known.read_s < KEPT_S:
            return known
        address = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        description = _read(provider, await self._ask(provider, "GET", address), _Description)
        if description.issuer.rstrip("/") != provider.issuer.rstrip("/"):
            log.error("provider_is_another", provider=provider.name, issuer=description.issuer[:200])
            raise Refusal(PROVIDER_FAILED)
        body = await self._ask(provider, "GET", description.jwks_uri)
        try:
            keys = KeySet.import_key_set(msgspec.json.decode(body))
        except (JoseError, msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
            log.error("provider_keys_not_understood", provider=provider.name, error=type(error).__name__)
            raise Refusal(UNAVAILABLE, retry_after_s=5) from error
        known = self._known[provider.name] = _Known(description, keys, time.monotonic())
        return known

    async def _ask(
        self,
        provider: Provider,
        method: str,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        login: str | None = None,
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        headers = {hdrs.AUTHORIZATION: login} if login else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while len(body) <= MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES)):
                    body += more
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("provider_away", provider=provider.name, error=type(error).__name__)
            raise Refusal(UNAVAILABLE, "The sign-in provider does not answer.", retry_after_s=5) from error
        if len(body) > MAX_ANSWER_BYTES or status >= 500:
            log.warning("provider_away", provider=provider.name, status=status)
            raise Refusal(UNAVAILABLE, "The sign-in provider does not answer.", retry_after_s=5)
        if status != 200:
            log.warning("provider_refused", provider=provider.name, status=status)
            raise Refusal(PROVIDER_FAILED)
        return body


def check_claims(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now_s: float) -> None:
    """Whether a verified ID token is for us, for this sign-in, and in date. Raises Refusal PROVIDER_FAILED."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires_s, issued_s = _number(claims.get("exp")), _number(claims.get("iat"))
    subject = claims.get("sub")
    is_good = (
        claims.get("iss") == issuer
        and client_id in audiences
        and (len(audiences) == 1 or claims.get("azp") == client_id)
        and claims.get("azp", client_id) == client_id
        and claims.get("nonce") == nonce
        and expires_s is not None
        and issued_s is not None
        and expires_s > now_s - CLOCK_SKEW_S
        and issued_s < now_s + CLOCK_SKEW_S
        and isinstance(subject, str)
        and 0 < len(subject) <= 255
    )
    if not is_good:
        raise Refusal(PROVIDER_FAILED)


def identity_of(provider: Provider, claims: Mapping[str, Any], scope: str | None) -> ProviderIdentity:
    """Verified claims as an identity. Raises Refusal PROVIDER_FAILED without an address, which every account has."""
    email, name = claims.get("email"), claims.get("name")
    if not isinstance(email, str):
        raise Refusal(PROVIDER_FAILED, "The provider did not say an e-mail address.", "Allow it to.")
    address = canonical_email(email)
    try:
        shown = clean_name(name) if isinstance(name, str) else address.partition("@")[0]
    except Refusal:
        shown = address.partition("@")[0]
    proven = claims.get("email_verified")
    return ProviderIdentity(
        provider.name, str(claims["sub"]), address, proven is True or proven == "true", shown, scope
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read(provider: Provider, body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("provider_not_understood", provider=provider.name, error=type(error).__name__)
        raise Refusal(PROVIDER_FAILED) from error
