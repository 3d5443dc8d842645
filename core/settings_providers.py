"""Sign-in providers, from the environment: PENSTOCK_OIDC_PROVIDERS names them, three variables each describe them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

VARIABLE = "PENSTOCK_OIDC_PROVIDERS"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of OpenID Connect. `name` is what it is called here and in `accounts.provider_id`."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)


class ProviderSettingError(ValueError):
    """What is wrong, with the variable and how to mend it."""

    def __init__(self, variable: str, problem: str, mend: str) -> None:
        super().__init__(f"{variable}: {problem}. {mend}")
        self.variable = variable
        self.problem = problem
        self.mend = mend


def read_providers(env: Mapping[str, str]) -> tuple[Provider, ...]:
    """The providers of `env`. Raises ProviderSettingError on the first that is wrong."""
    names = [part.strip() for part in env.get(VARIABLE, "").split(",") if part.strip()]
    return tuple(_read(env, name) for name in dict.fromkeys(names))


def as_environment(providers: tuple[Provider, ...]) -> Mapping[str, str]:
    """The variables that say `providers`, for a child process."""
    said = {VARIABLE: ",".join(provider.name for provider in providers)}
    for provider in providers:
        prefix = f"PENSTOCK_OIDC_{provider.name.upper()}"
        said[f"{prefix}_ISSUER"] = provider.issuer
        said[f"{prefix}_CLIENT_ID"] = provider.client_id
        said[f"{prefix}_CLIENT_SECRET"] = provider.client_secret
    return said


def _read(env: Mapping[str, str], name: str) -> Provider:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in ("credential", "email", "phone"):
        raise ProviderSettingError(VARIABLE, f"{name!r} cannot name a provider", "Write it like google,keycloak.")
    prefix = f"PENSTOCK_OIDC_{name.upper()}"
    values = {}
    for part, example in (("ISSUER", "https://accounts.google.com"), ("CLIENT_ID", "..."), ("CLIENT_SECRET", "...")):
        text = env.get(f"{prefix}_{part}", "").strip()
        if not text:
            raise ProviderSettingError(f"{prefix}_{part}", "is not set", f"Write it like {example}.")
        values[part] = text
    issuer = urlsplit(values["ISSUER"])
    is_near = issuer.hostname in ("localhost", "127.0.0.1", "::1")
    if (
        not issuer.netloc
        or issuer.query
        or issuer.fragment
        or not (issuer.scheme == "https" or (issuer.scheme == "http" and is_near))
    ):
        raise ProviderSettingError(
            f"{prefix}_ISSUER",
            "is not an https URL",
            "Write it like https://accounts.google.com (http only on this machine).",
        )
    return Provider(name, values["ISSUER"], values["CLIENT_ID"], values["CLIENT_SECRET"])
