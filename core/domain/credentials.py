"""What may be typed at the door: e-mail addresses, passwords and names, each brought to the one form it is kept in.

Pure. Knows no rows: whether an address is taken is the database's answer.
"""

from __future__ import annotations

import hashlib
import unicodedata

from core.errors import WEAK_PASSWORD, Fault, Refusal, bad_field

MAX_EMAIL_CHARS = 254
MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 8, 256
MAX_NAME_CHARS = 200


def canonical_email(text: str, path: str = "email") -> str:
    """`text` trimmed, in NFKC, its domain in lower case (case never tells two people apart). Raises Refusal."""
    # NFKC can make a text 18 times as long: bound it first.
    if len(text) > 4 * MAX_EMAIL_CHARS:
        raise bad_field(path, f"must not be longer than {MAX_EMAIL_CHARS} characters")
    local, at, domain = unicodedata.normalize("NFKC", text.strip()).strip().rpartition("@")
    domain = unicodedata.normalize("NFKC", domain.lower())
    email = local + at + domain
    if len(email) > MAX_EMAIL_CHARS:
        raise bad_field(path, f"must not be longer than {MAX_EMAIL_CHARS} characters")
    if any(unicodedata.category(character)[0] in "CZ" for character in email):
        raise bad_field(path, "must not contain spaces or control characters")
    labels = domain.split(".")
    if not local or "@" in local or len(labels) < 2 or not all(labels):
        raise bad_field(path, "must be an address like name@example.org")
    return email


def digest(secret: str) -> bytes:
    """What is kept of a secret that was handed out: its many random bits need no salt and no stretching. Takes any text."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def check_password(password: str, email: str) -> Refusal | None:
    """Whether `password` may be chosen by the owner of `email`."""
    if len(password) < MIN_PASSWORD_CHARS:
        return _weak(f"must have at least {MIN_PASSWORD_CHARS} characters", "length")
    if len(password) > MAX_PASSWORD_CHARS:
        return _weak(f"must not be longer than {MAX_PASSWORD_CHARS} characters", "length")
    if unicodedata.normalize("NFKC", password).strip().casefold() == email.casefold():
        return _weak("must not be the e-mail address", "characters")
    return None


def _weak(why: str, reason: str) -> Refusal:
    return Refusal(WEAK_PASSWORD, f"password: {why}", faults=(Fault("password", why),), data={"reason": reason})


def clean_name(text: str, path: str = "data.name") -> str:
    """`text` trimmed. Raises Refusal when nothing is left, or it is too long or holds control characters."""
    name = unicodedata.normalize("NFC", text.strip())
    if not name:
        raise bad_field(path, "must not be empty")
    if len(name) > MAX_NAME_CHARS:
        raise bad_field(path, f"must not be longer than {MAX_NAME_CHARS} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise bad_field(path, "must not contain control characters")
    return name
