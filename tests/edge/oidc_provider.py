"""A provider of OpenID Connect on this machine, which signs in whoever a test says, and checks what it is asked."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "penstock", "a secret of the provider's"


@dataclass
class LocalProvider:
    """`claims` are what it says about the person; `spoil` is laid over the ID token's claims at the last moment."""

    claims: dict[str, Any] = field(
        default_factory=lambda: {"sub": "sub-1", "email": "mara@example.org", "email_verified": True, "name": "Mara M."}
    )
    spoil: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    server: TestServer = field(init=False)

    def __post_init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "p1"})
        self.signs_with: Any = self.key
        self.header_kid = "p1"
        self._codes: dict[str, dict[str, str]] = {}
        self.token_status = 200
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        self.server = TestServer(app)

    @property
    def issuer(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([self.key]).as_dict(private=False))

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == (
            "code",
            CLIENT_ID,
            "S256",
        )
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert request.headers["Authorization"] == encode_basic_auth(CLIENT_ID, quote_plus(CLIENT_SECRET))
        asked = self._codes.pop(str(form["code"]), None)
        if asked is None or self.token_status != 200:
            return web.json_response({"error": "invalid_grant"}, status=max(400, self.token_status))
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert asked["redirect_uri"] == form["redirect_uri"]
        now_s = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            **self.claims,
            **self.spoil,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.header_kid}
        token = jwt.encode(header, claims, self.signs_with, algorithms=[self.algorithm])
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": token, "scope": "openid"})
