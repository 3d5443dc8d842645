"""Which database the settings name, and whether its login will do for who serves or encodes: what is wrong, and the mend."""

from __future__ import annotations

import ssl
from urllib.parse import parse_qs, unquote, urlsplit

from core.opening import BYPASSES, DatabaseDown, leads_through_pooler, once
from core.variables import SettingsError, Variables

OURS, COMMON, DIRECT = "PENSTOCK_DATABASE_URL", "DATABASE_URL", "PENSTOCK_DIRECT_DATABASE_URL"
"""Variables that name the database: the first of two, and past any pooler."""

# By SQLSTATE: the server's own words are in its language, not in ours.
_MENDS = {
    "28P01": "Check the user and the password",
    "28000": "Check the user, and what pg_hba.conf of the server lets in",
    "3D000": "Create the database, or correct its name",
    "42501": "GRANT CONNECT ON DATABASE ... TO this user",
}
_HELD = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1)"


def login_variable(variables: Variables) -> str:
    """Which of the two names the database; ours where neither does."""
    return COMMON if variables.text(COMMON) and not variables.text(OURS) else OURS


def place_of(url: str) -> str:
    """The database and where it is, for people and logs: never who logs in, nor the password."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    hosts = unquote(parts.netloc.rpartition("@")[2]) or ",".join(asked.get("host", ())) or "localhost"
    name = unquote(parts.path.strip("/")) or "".join(asked.get("dbname", ())[:1])
    return f"{name or 'the database'} at {hosts}"


def mend_of(error: DatabaseDown) -> str | None:
    """What has to be corrected for a server that is there and will not have us; None where waiting may do."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "Name its authority: ?sslmode=verify-full&sslrootcert=FILE"
    if isinstance(cause, ValueError):  # the driver's, about what the URL asks for
        return "Write it like postgresql://user:password@host/database"
    return _MENDS.get(getattr(cause, "sqlstate", None) or "")


def told_refused(error: DatabaseDown, variable: str, url: str) -> SettingsError:
    """What an operator is told of a database, named by `variable`, that cannot be had."""
    if mend := mend_of(error):
        return SettingsError(variable, f"{place_of(url)} does not let us in ({error})", f"{mend}.")
    mend = "Start it, or correct host and port; where no database is named, Penstock starts one of its own."
    return SettingsError(variable, f"{place_of(url)} does not answer ({error})", mend)


async def holds_tables(url: str, names: tuple[str, ...]) -> bool:
    """Whether all of these are in the schema `public`. Raises DatabaseDown."""
    async with once(url) as connection:
        return bool(await connection.fetchval(_HELD, names) == len(names))


async def check_login(url: str, direct_url: str | None, variable: str) -> None:
    """Raises SettingsError for a login that no policy binds, or that hears no notification; DatabaseDown."""
    async with once(url) as connection:
        is_unbound = await connection.fetchval(BYPASSES)
    if is_unbound:
        raise SettingsError(
            variable,
            "logs in as a superuser, or with BYPASSRLS, which no row-level policy binds",
            "Name a plain role there (member of penstock_app), and the owner in PENSTOCK_OWNER_DATABASE_URL.",
        )
    if await leads_through_pooler(direct_url or url):
        raise SettingsError(
            DIRECT if direct_url else variable,
            "leads through a connection pooler, which carries no notifications: access that ends would be noticed too late",
            f"Name PostgreSQL itself in {DIRECT}, and the pooler in {variable}.",
        )
