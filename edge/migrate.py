"""Brings a database to the present schema: db/schema.sql into an empty one, db/migrations/NNNN_name.sql into an older one.

One advisory lock holds off a second migrator; each file runs in a transaction and is remembered with its checksum.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from core.database import Connection, Row, dedicated
from core.domain import media_dispatch
from core.opening import leads_through_pooler
from core.settings import ROOT

SCHEMA_FILE = ROOT / "db" / "schema.sql"
MIGRATIONS = ROOT / "db" / "migrations"
_LOCK_KEY = 0x70656E73746F636B  # "penstock"

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database cannot be brought to the present schema; says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

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
    """All numbered files, in order. Raises MigrationError when a number is missing or there twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_name.sql")
        found.append(Migration(int(match.group(1)), match.group(2), path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migration numbers must run 0001, 0002, ... without gaps")
    return found


async def migrate(owner_url: str) -> list[str]:
    """Applies what is missing; the names of what was done, empty when nothing was. Raises MigrationError."""
    connection = await dedicated(owner_url)
    try:
        if await leads_through_pooler(owner_url):
            raise MigrationError(
                "the owner's login leads through a connection pooler, which holds no lock for longer than a transaction:"
                " name PostgreSQL itself in PENSTOCK_OWNER_DATABASE_URL or PENSTOCK_DIRECT_DATABASE_URL"
            )
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        try:
            return await _migrate_locked(connection)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK_KEY)
    finally:
        await connection.close()


async def _migrate_locked(connection: Connection[Row]) -> list[str]:
    known = migrations()
    if not await connection.fetchval("SELECT to_regclass('public.tenants') IS NOT NULL"):
        async with connection.transaction():
            await connection.execute(schema_text())
            await connection.execute(_LEDGER)
            await connection.executemany(
                "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                [(m.number, m.name, m.checksum) for m in known],
            )
        done = ["schema"]
    else:
        done = await _apply_missing(connection, known)
    await media_dispatch.install(connection)
    return done


async def _apply_missing(connection: Connection[Row], known: list[Migration]) -> list[str]:
    await connection.execute(_LEDGER)
    applied = {
        row["number"]: row for row in await connection.fetch("SELECT number, name, checksum FROM schema_migrations")
    }
    if applied and max(applied) > len(known):
        raise MigrationError(f"the database is at migration {max(applied)}, newer than this program knows")
    done = []
    for migration in known:
        row = applied.get(migration.number)
        if row is not None:
            if row["checksum"] != migration.checksum:
                raise MigrationError(
                    f"migration {migration.number:04} {migration.name} was changed after it was applied"
                )
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
        done.append(migration.name)
    return done
