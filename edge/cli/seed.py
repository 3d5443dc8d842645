"""`penstock seed`: fills an empty installation with people, titles, courses, podcasts and what they did, to look at and to try things on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from rich.console import Console

from core.database import QueryError, Tx, dedicated, translate, viewer_settings
from core.domain.house import House
from core.objects import ObjectStore
from core.opening import FAILURES, DatabaseDown
from core.queries import Statement
from core.settings import ROOT
from core.viewer import service
from edge.api.passwords import Passwords
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import Installation, running_settings
from edge.settings import Settings

FOLDER = ROOT / "db" / "seed"
DEMO_PEOPLE = (
    ("alice@example.com", "admin"),
    ("bob@example.com", "teaches"),
    ("carol@example.com", "takes courses, buys and watches"),
)
SHORTEST_PASSWORD = 8
FEWEST = 10
MOST = 5000


def _statement(name: str, purpose: str, sql: str) -> Statement:
    return Statement(name, "one", purpose, sql)


_LOCK = _statement("seed_lock", "One seed at a time.", "SELECT pg_advisory_xact_lock(hashtext('penstock seed'))")
_IS_OWNER = _statement(
    "seed_is_owner",
    "Whether this login owns the tables: the files ANALYZE them, without which a thousand people take minutes.",
    "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'users'::regclass",
)
_FOUND = _statement("seed_found", "Which seed is in here.", "SELECT value::text FROM system_config WHERE key = 'seed'")
_STRANGERS = _statement(
    "seed_strangers",
    "Whether anybody or anything is in here.",
    "SELECT (SELECT count(*) FROM users WHERE id <> '00000000-0000-7000-8000-000000000002') AS users,"
    " (SELECT count(*) FROM contents) AS contents",
)
_PARAMETERS = _statement(
    "seed_parameters",
    "What the files read.",
    "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS p (name, value)",
)
_HANDOUTS = _statement("seed_handouts", "Files with their text.", "SELECT storage_key, body FROM handouts")


def run_seed(*, users: int, number: int, password: str, into_existing: bool, data: Path | None) -> int:
    """Seeds once; 0 also when this very seed is already there. Raises ServiceFault when something else is."""
    if len(password) < SHORTEST_PASSWORD:
        raise ServiceFault("seed", "is given a short password", f"Give {SHORTEST_PASSWORD} characters or more.")
    return asyncio.run(_run(settings_for(port=None, data=data), users, number, password, into_existing))


async def _run(settings: Settings, users: int, number: int, password: str, into_existing: bool) -> int:
    console = Console(stderr=True)
    installation: Installation | None = None
    running = running_settings(settings)
    try:
        if running is None:
            installation = Installation(settings)
            with console.status("Starting PostgreSQL and Valkey"):
                await installation.start()
            running = installation.settings
        with console.status(f"Seeding {users} people and what they do"):
            is_new = await seed(running, users=users, number=number, password=password, into_existing=into_existing)
    finally:
        if installation is not None:
            await asyncio.to_thread(installation.stop)
    if not is_new:
        console.print("This seed is already there: nothing was changed.")
        return 0
    console.print(f"Seeded {users} people. Everybody's password is the one given, by default [bold]penstock-demo[/]:")
    for email, what in DEMO_PEOPLE:
        console.print(f"  [bold]{email}[/] {what}")
    return 0


async def seed(settings: Settings, *, users: int, number: int, password: str, into_existing: bool = False) -> bool:
    """Fills the database in one transaction; False when this very seed is there already.

    `number` decides every id and value, the day it runs on every moment. Raises ServiceFault when the installation
    holds another seed or, without `into_existing`, anything at all; Refusal when a row of its own is in the way; DatabaseDown.
    """
    url = settings.migrate_database_url
    assert url is not None
    passwords = Passwords()
    hashed = await passwords.hash(password)
    passwords.close()
    store = ObjectStore(settings.store_url)
    parameters = dict(zip(("app.tenant_id", "app.user_id", "app.role"), viewer_settings(service()), strict=True)) | {
        "seed.number": str(number),
        "seed.users": str(users),
        "seed.password_hash": hashed,
        "seed.store_provider": store.provider,
        "seed.store_bucket": store.bucket or "",
    }
    # None of a pool's: those are for requests, and let go of a server that is busy with one statement for too long.
    connection = await dedicated(url)
    try:
        async with connection.transaction():
            tx = Tx(connection, House())
            await tx.many(_PARAMETERS, list(parameters), list(parameters.values()))
            if not await tx.value(_IS_OWNER):
                raise ServiceFault("seed", "needs the schema's owner", "Name it in PENSTOCK_OWNER_DATABASE_URL.")
            await tx.run(_LOCK)
            if not await _is_needed(tx, users, number, into_existing):
                return False
            for file in sorted(FOLDER.glob("*.sql")):
                await connection.execute(file.read_text(encoding="utf-8"))
            for row in await tx.many(_HANDOUTS):
                await store.put(row["storage_key"], row["body"].encode())
    except QueryError as error:
        raise translate(error) from error
    except FAILURES as error:
        raise DatabaseDown(str(error)) from error
    finally:
        connection.terminate()
    return True


async def _is_needed(tx: Tx, users: int, number: int, into_existing: bool) -> bool:
    found = await tx.value(_FOUND)
    if found is not None:
        there = orjson.loads(found)
        if there == {"number": number, "users": users}:
            return False
        raise ServiceFault(
            "seed",
            f"finds seed {there['number']} with {there['users']} people here already",
            "Name another folder with --data, or an empty database.",
        )
    strangers = await tx.one(_STRANGERS)
    assert strangers is not None
    if not into_existing and (strangers["users"] or strangers["contents"]):
        raise ServiceFault(
            "seed",
            f"finds {strangers['users']} users and {strangers['contents']} titles that it did not make",
            "Seed an empty installation (--data DIR), or say --into-existing to add to this one.",
        )
    return True
