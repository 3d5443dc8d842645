"""Brings a database to the present schema: db/schema.sql into an empty one, db/migrations/NNNN_name.sql into an older one.

One advisory lock holds off a second migrator; all that is missing runs in one transaction, so that it is there wholly or not at
all, and each file is remembered with its checksum. NNNN_name.down.sql beside it takes it back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.database import Connection, QueryError, Row, dedicated
from core.domain import media_dispatch
from core.opening import leads_through_pooler
from core.settings import ROOT

SCHEMA_FILE = ROOT / "db" / "schema.sql"
MIGRATIONS = ROOT / "db" / "migrations"
LOCK_KEY = 0x70656E73746F636B  # "penstock"

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


_IS_FOUNDED = "SELECT to_regclass('public.tenants') IS NOT NULL"
_NOTE = "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)"

# Tables of extensions (PostGIS has one) are nobody's.
_STRANGE_TABLE = """
SELECT relname FROM pg_class c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'pgqueuer%'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY relname LIMIT 1
"""


class MigrationError(Exception):
    """The database cannot be brought to the present schema; says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str
    down: str
    """What restores the schema as it was before."""

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def schema_text(path: Path = SCHEMA_FILE) -> str:
    """The schema with its `\\ir` includes put in place, as psql reads it."""
    parts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("\\ir "):
            parts.append(schema_text(path.parent / line.removeprefix("\\ir ").strip()))
        else:
            parts.append(line)
    return "\n".join(parts)


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """All numbered files, in order. Raises MigrationError when a number is missing or there twice, or there is no way back."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        if path.name.endswith(".down.sql"):
            continue
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_name.sql")
        down = path.with_suffix(".down.sql")
        if not down.exists():
            raise MigrationError(f"{path.name} has no {down.name} that takes it back")
        texts = (path.read_text(encoding="utf-8"), down.read_text(encoding="utf-8"))
        found.append(Migration(int(match.group(1)), match.group(2), *texts))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migration numbers must run 0001, 0002, ... without gaps")
    return found


async def migrate(owner_url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Applies what is missing, all of it or nothing; the names of what was done. Raises MigrationError, DatabaseDown."""
    async with _locked(owner_url) as connection:
        return await _migrate_locked(connection, migrations(folder))


async def roll_back(owner_url: str, to: int, folder: Path = MIGRATIONS) -> list[str]:
    """Takes back every migration after number `to`, the latest first, all of them or none; their names.

    Raises MigrationError, also when one was applied that this program does not know as it was; DatabaseDown.
    """
    async with _locked(owner_url) as connection:
        known = {migration.number: migration for migration in migrations(folder)}
        applied = await _applied(connection)
        done = []
        async with connection.transaction():
            for number in sorted((number for number in applied if number > to), reverse=True):
                migration = known.get(number)
                if migration is None or migration.checksum != applied[number]:
                    raise MigrationError(
                        f"migration {number:04} is not known as it was applied: nothing was taken back"
                    )
                await _run(connection, migration, migration.down)
                await connection.execute("DELETE FROM schema_migrations WHERE number = $1", number)
                done.append(migration.name)
        return done


@dataclass(frozen=True, slots=True)
class Standing:
    """How a database stands to one migration."""

    number: int
    name: str
    state: Literal["applied", "missing", "changed after it was applied", "applied, and unknown to this program"]


async def status(owner_url: str, folder: Path = MIGRATIONS) -> list[Standing] | None:
    """Every migration that is known or was applied, in order; None for a database without the schema. Takes no lock.

    Raises MigrationError, DatabaseDown.
    """
    known = {migration.number: migration for migration in migrations(folder)}
    connection = await dedicated(owner_url)
    try:
        if not await connection.fetchval(_IS_FOUNDED):
            return None
        rows = await _ledger(connection)
    finally:
        await connection.close()
    found = []
    for number in sorted(known.keys() | rows.keys()):
        migration, row = known.get(number), rows.get(number)
        if migration is None:
            found.append(Standing(number, rows[number]["name"], "applied, and unknown to this program"))
        elif row is None:
            found.append(Standing(number, migration.name, "missing"))
        else:
            is_same = row["checksum"] == migration.checksum
            found.append(Standing(number, migration.name, "applied" if is_same else "changed after it was applied"))
    return found


@asynccontextmanager
async def _locked(owner_url: str) -> AsyncIterator[Connection[Row]]:
    connection = await dedicated(owner_url)
    try:
        if await leads_through_pooler(owner_url):
            raise MigrationError(
                "the owner's login leads through a connection pooler, which holds no lock for longer than a transaction:"
                " name PostgreSQL itself in PENSTOCK_OWNER_DATABASE_URL or PENSTOCK_DIRECT_DATABASE_URL"
            )
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        try:
            yield connection
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
    finally:
        await connection.close()


async def _applied(connection: Connection[Row]) -> dict[int, str]:
    return {number: row["checksum"] for number, row in (await _ledger(connection)).items()}


async def _ledger(connection: Connection[Row]) -> dict[int, Row]:
    """Its rows by number; nothing where there is no ledger."""
    if not await connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NOT NULL"):
        return {}
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migrations")
    return {row["number"]: row for row in rows}


async def _run(connection: Connection[Row], migration: Migration, sql: str) -> None:
    try:
        # Whoever waits for a table keeps all who come after waiting: rather try again later.
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        await connection.execute(sql)
    except QueryError as error:
        raise MigrationError(
            f"migration {migration.number:04} {migration.name} failed, nothing was changed: {error}"
        ) from error


async def _migrate_locked(connection: Connection[Row], known: list[Migration]) -> list[str]:
    if not await connection.fetchval(_IS_FOUNDED):
        strange = await connection.fetchval(_STRANGE_TABLE)
        if strange is not None:
            raise MigrationError(f"the database holds other tables ({strange}): give Penstock one of its own")
        async with connection.transaction():
            await connection.execute(schema_text())
            await connection.execute(_LEDGER)
            await connection.executemany(_NOTE, [(m.number, m.name, m.checksum) for m in known])
        done = ["schema"]
    else:
        done = await _apply_missing(connection, known)
    await media_dispatch.install(connection)
    return done


async def _apply_missing(connection: Connection[Row], known: list[Migration]) -> list[str]:
    applied = await _applied(connection)
    if applied and max(applied) > len(known):
        raise MigrationError(f"the database is at migration {max(applied)}, newer than this program knows")
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationError(f"migration {migration.number:04} {migration.name} was changed after it was applied")
    missing = [migration for migration in known if migration.number not in applied]
    async with connection.transaction():
        await connection.execute(_LEDGER)
        for migration in missing:
            await _run(connection, migration, migration.sql)
            await connection.execute(_NOTE, migration.number, migration.name, migration.checksum)
    return [migration.name for migration in missing]
