"""Links by which a person turns off a kind of mail without signing in (RFC 8058): signed, for that person and kind alone. Pure.

They have no end: a message may be read years later. All that one can do is turn a kind off, which the person can turn on again.
"""

from __future__ import annotations

import hashlib
from typing import Literal, cast, get_args
from uuid import UUID

from itsdangerous import BadData, Signer, URLSafeSerializer

from core.errors import BAD_UNSUBSCRIBE_LINK, Refusal
from core.keys import KeyRing

PATH = "/mail/unsubscribe"
MAX_TOKEN_CHARS = 256
_SALT = "penstock.unsubscribe"

Unwanted = Literal["marketing", "product", "security"]
"""A kind of mail that a person may have turned off."""


class Unsubscribing:
    """Makes and reads the tokens of such links with a key ring."""

    def __init__(self, ring: KeyRing) -> None:
        # itsdangerous signs with the last of a list, and takes any.
        self._serializer = URLSafeSerializer(
            [key.secret for key in ring.keys],
            salt=_SALT,
            signer=Signer,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def token(self, user_id: UUID, kind: Unwanted) -> str:
        """The token that turns `kind` off for that person."""
        return self._serializer.dumps([user_id.hex, kind])

    def read(self, token: str) -> tuple[UUID, Unwanted]:
        """Whom and what `token` is about. Raises Refusal 400 PS910 when it is not ours to the letter."""
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Refusal(BAD_UNSUBSCRIBE_LINK)
        try:
            user, kind = self._serializer.loads(token)
            user_id = UUID(user)
        except (BadData, ValueError, TypeError, AttributeError) as error:
            raise Refusal(BAD_UNSUBSCRIBE_LINK) from error
        if kind not in get_args(Unwanted):
            raise Refusal(BAD_UNSUBSCRIBE_LINK)
        return user_id, cast("Unwanted", kind)
