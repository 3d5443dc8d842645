"""GoTrue's words: what its clients send, what they expect back, and how a refusal reads to them.

Decides the shape of bodies under `/auth/v1`. Knows no steps and no database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import orjson
from aiohttp import hdrs, web

from core.database import DatabaseDown
from core.domain.identity import Login, Person, PlatformRole
from core.errors import (
    ACCESS_TOKEN_EXPIRED,
    BAD_ACCESS_TOKEN,
    BAD_FIELD,
    BAD_ID,
    BAD_JSON,
    BAD_QUERY,
    BAD_REFRESH_TOKEN,
    BAD_VERIFICATION,
    BANNED,
    BODY_TOO_LARGE,
    CONFLICT,
    EMAIL_NOT_VERIFIED,
    EMAIL_TAKEN,
    INVALID_CREDENTIALS,
    NOT_FOUND,
    NOT_OFFERED,
    NOT_PLATFORM_ADMIN,
    PROVIDER_EMAIL_UNPROVEN,
    PROVIDER_FAILED,
    PROVIDER_UNKNOWN,
    SIGN_IN_NEEDED,
    TIMEOUT,
    TOO_MANY_TRIES,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    WEAK_PASSWORD,
    Code,
    Fault,
    Refusal,
    bad_field,
)

MAX_BODY_BYTES = 64 * 1024

# What GoTrue's clients switch on. The reasons come first: they say more than the code.
_REASONS: Mapping[str, str] = {
    "session_ended": "session_not_found",
    "session_expired": "session_expired",
    "refresh_token_reused": "refresh_token_already_used",
    "bad_code_verifier": "bad_code_verifier",
}
_ERROR_CODES: Mapping[Code, str] = {
    BAD_JSON: "bad_json",
    UNSUPPORTED_TYPE: "bad_json",
    BAD_FIELD: "validation_failed",
    BODY_TOO_LARGE: "validation_failed",
    BAD_QUERY: "validation_failed",
    SIGN_IN_NEEDED: "no_authorization",
    BAD_ACCESS_TOKEN: "bad_jwt",
    ACCESS_TOKEN_EXPIRED: "bad_jwt",
    BANNED: "user_banned",
    INVALID_CREDENTIALS: "invalid_credentials",
    EMAIL_TAKEN: "user_already_exists",
    WEAK_PASSWORD: "weak_password",
    BAD_REFRESH_TOKEN: "refresh_token_not_found",
    TOO_MANY_TRIES: "over_request_rate_limit",
    EMAIL_NOT_VERIFIED: "email_not_confirmed",
    BAD_VERIFICATION: "otp_expired",
    PROVIDER_UNKNOWN: "validation_failed",
    PROVIDER_FAILED: "bad_oauth_callback",
    PROVIDER_EMAIL_UNPROVEN: "provider_email_needs_verification",
    NOT_PLATFORM_ADMIN: "not_admin",
    NOT_FOUND: "user_not_found",
    NOT_OFFERED: "not_offered",
    BAD_ID: "validation_failed",
    CONFLICT: "conflict",
    TIMEOUT: "request_timeout",
}

SETTINGS: Mapping[str, Any] = {
    "external": {"email": True, "phone": False, "anonymous_users": False},
    "disable_signup": False,
    "phone_autoconfirm": False,
    "sms_provider": "",
    "saml_enabled": False,
    "passkeys_enabled": False,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")


class Metadata(msgspec.Struct):
    """`data` of a person: of what GoTrue lets clients keep there, the name."""

    name: str | None = None


class SignUpBody(msgspec.Struct):
    """POST /signup"""

    email: str | None = None
    password: str | None = None
    data: Metadata | None = None


class PasswordBody(msgspec.Struct):
    """POST /token?grant_type=password"""

    email: str | None = None
    password: str | None = None


class RefreshBody(msgspec.Struct):
    """POST /token?grant_type=refresh_token"""

    refresh_token: str | None = None


class CodeBody(msgspec.Struct):
    """POST /token?grant_type=pkce"""

    auth_code: str | None = None
    code_verifier: str | None = None


class VerifyBody(msgspec.Struct):
    """POST /verify; `token_hash` and `token` are the same mailed secret."""

    type: str | None = None
    token_hash: str | None = None
    token: str | None = None


class MailBody(msgspec.Struct):
    """POST /recover, /resend, /otp and /magiclink"""

    email: str | None = None
    type: str | None = None
    phone: str | None = None


class VisitBody(msgspec.Struct):
    """POST /admin/users/{user_id}/impersonate"""

    reason: str | None = None


class AppMetadata(msgspec.Struct):
    """`app_metadata` of a person: of what GoTrue lets the service keep there, the role in the installation."""

    role: PlatformRole | None = None


class AccountBody(msgspec.Struct):
    """POST and PUT /admin/users; what is not kept here is refused (`phone`, `id`, `password_hash`), not passed over."""

    email: str | None = None
    password: str | None = None
    email_confirm: bool | None = None
    user_metadata: Metadata | None = None
    app_metadata: AppMetadata | None = None
    ban_duration: str | None = None
    phone: str | None = None
    id: str | None = None
    password_hash: str | None = None


class UserBody(msgspec.Struct):
    """PUT /user"""

    email: str | None = None
    phone: str | None = None
    password: str | None = None
    current_password: str | None = None
    data: Metadata | None = None


def spoken(handler: Handler) -> Handler:
    """`handler`, every refusal of which carries GoTrue's keys beside our own."""

    @wraps(handler)
    async def speak(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except DatabaseDown as error:
            raise translate(Refusal(UNAVAILABLE, retry_after_s=1)) from error
        except Refusal as refusal:
            raise translate(refusal) from refusal

    return speak


def translate(refusal: Refusal) -> Refusal:
    """`refusal` with `error_code` and `msg`, and `weak_password` where a client looks for it."""
    reason = str(refusal.data.get("reason"))
    data: dict[str, object] = {
        "error_code": _REASONS.get(reason) or _ERROR_CODES.get(refusal.code, "unexpected_failure"),
        "msg": refusal.message or refusal.code.message,
        **refusal.data,
    }
    if refusal.code is WEAK_PASSWORD and "error_code" not in refusal.data:
        data["weak_password"] = {"message": data["msg"], "reasons": [reason]}
    return Refusal(
        refusal.code,
        refusal.message,
        refusal.hint,
        refusal.details,
        refusal.faults,
        data,
        refusal.retry_after_s,
    )


async def read_body(request: web.Request, shape: type[T]) -> T:
    """The JSON body as `shape`. Raises Refusal BODY_TOO_LARGE, UNSUPPORTED_TYPE, BAD_JSON, or BAD_FIELD naming the field."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    body = await request.read()
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    # GoTrue's clients all say so; a form or text that a strange page sends unasked does not.
    if body and request.content_type != "application/json":
        raise Refusal(UNSUPPORTED_TYPE, hint="Send application/json.")
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at ")
        raise bad_field(path.strip("`").removeprefix("$").removeprefix(".") or "body", why) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(BAD_JSON, details=str(error)) from error


def _too_large() -> Refusal:
    return Refusal(BODY_TOO_LARGE, faults=(Fault("body", f"must not be longer than {MAX_BODY_BYTES} bytes"),))


def required(value: str | None, path: str) -> str:
    """`value`, given and not empty. Raises Refusal BAD_FIELD."""
    if not value:
        raise bad_field(path, "is required")
    return value


def answer(body: Mapping[str, object]) -> web.Response:
    """A 200 that nobody keeps: it may hold secrets, and is one person's."""
    return web.Response(
        body=orjson.dumps(body),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def user_json(person: Person) -> dict[str, object]:
    """A person as GoTrue's User. When an address was verified is not kept: a verified one says since sign-up."""
    providers = providers_of(person)
    confirmed = _time(person.created_at) if person.email_verified else None
    return {
        "id": str(person.id),
        "aud": "authenticated",
        "role": "authenticated",
        "email": person.email,
        "email_confirmed_at": confirmed,
        "phone": "",
        "confirmed_at": confirmed,
        "last_sign_in_at": _time(person.last_login),
        "app_metadata": {"provider": providers[0], "providers": providers, "role": person.role},
        "user_metadata": {"name": person.name},
        "identities": [_identity(person, login) for login in person.logins],
        "created_at": _time(person.created_at),
        "updated_at": _time(person.updated_at),
        "is_anonymous": False,
        **({"banned_until": _time(person.banned_until)} if person.banned_until else {}),
    }


def stranger_json(email: str, name: str, now: datetime) -> dict[str, object]:
    """The answer to a sign-up whose address has an account already: like any other's, of a person who is not there."""
    id_ = uuid4()
    login = Login(uuid4(), "credential", str(id_), now, now)
    return user_json(Person(id_, name, email, False, "user", None, now, now, (login,)))


def providers_of(person: Person) -> list[str]:
    """GoTrue's names of the ways in, the primary one first; never empty."""
    return list(dict.fromkeys(_provider(login) for login in person.logins)) or ["email"]


def _provider(login: Login) -> str:
    return "email" if login.provider_id == "credential" else login.provider_id


def _identity(person: Person, login: Login) -> dict[str, object]:
    return {
        "identity_id": str(login.id),
        "id": login.account_id,
        "user_id": str(person.id),
        "identity_data": {"email": person.email, "email_verified": person.email_verified, "sub": login.account_id},
        "provider": _provider(login),
        "last_sign_in_at": _time(person.last_login),
        "created_at": _time(login.created_at),
        "updated_at": _time(login.updated_at),
        "email": person.email,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
