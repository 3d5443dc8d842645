"""Sign-in providers, from the environment: PENSTOCK_OIDC_PROVIDERS names them, three variables each describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.variables import SettingsError, Variables

VARIABLE = "PENSTOCK_OIDC_PROVIDERS"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of OpenID Connect. `name` is what it is called here and in `accounts.provider_id`."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)


def read_providers(variables: Variables) -> tuple[Provider, ...]:
    """The providers that `variables` name. Raises SettingsError on the first that is wrong."""
    names = [part.strip() for part in variables.text(VARIABLE).split(",") if part.strip()]
    return tuple(_read(variables, name) for name in dict.fromkeys(names))


def _read(variables: Variables, name: str) -> Provider:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in ("credential", "email", "phone"):
        raise SettingsError(VARIABLE, f"{name!r} cannot name a provider", "Write it like google,keycloak.")
    prefix = f"PENSTOCK_OIDC_{name.upper()}"
    values = {}
    for part, example in (("ISSUER", "https://accounts.google.com"), ("CLIENT_ID", "..."), ("CLIENT_SECRET", "...")):
        text = variables.text(f"{prefix}_{part}")
        if not text:
            raise SettingsError(f"{prefix}_{part}", "is not set", f"Write it like {example}.")
        values[part] = text
    issuer = urlsplit(values["ISSUER"])
    is_near = issuer.hostname in ("localhost", "127.0.0.1", "::1")
    if (
        not issuer.netloc
        or issuer.query
        or issuer.fragment
        or not (issuer.scheme == "https" or (issuer.scheme == "http" and is_near))
    ):
        raise SettingsError(
            f"{prefix}_ISSUER",
            "is not an https URL",
            "Write it like https://accounts.google.com (http only on this machine).",
        )
    return Provider(name, values["ISSUER"], values["CLIENT_ID"], values["CLIENT_SECRET"])
