"""Restoring the embedded PostgreSQL to a moment: a base, then the log up to there, in a folder of its own; only what came up whole is used."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.database import Connection, Row, dedicated
from core.process import run_tool
from edge.local.backups import Base, bases, shell_word
from edge.local.fault import ServiceFault
from edge.local.postgres import DATABASE, EmbeddedPostgres, binaries
from edge.local.secrets import SecretFile

REPLAY_TIMEOUT_S = 6 * 3600
CHECK_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class Found:
    """What a restored server holds."""

    base: Base
    tables: int
    people: int
    until: datetime | None
    """The last transaction that was replayed; None when there was none after the base."""


class LogEnds(ServiceFault):
    """No transaction after the moment asked for is in the log."""


def choose(found: list[Base], at: datetime | None) -> Base:
    """The newest base that was whole at `at`. Raises ServiceFault when there is none. Pure but for the files' times."""
    fitting = [base for base in found if at is None or base.ended_at <= at]
    if fitting:
        return fitting[-1]
    if found:
        raise ServiceFault(
            "Backup", f"reaches back to {found[0].ended_at:%Y-%m-%d %H:%M:%S} UTC only", "Name a later moment in --at."
        )
    raise ServiceFault("Backup", "there is none", "`./penstock backup` takes one of a running installation.")


@asynccontextmanager
async def restored(
    backups: Path, into: Path, sockets: Path, secret: SecretFile, *, at: datetime | None, beside: Path | None
) -> AsyncIterator[tuple[EmbeddedPostgres, Found]]:
    """A server on `into` as it was at `at` (None: as late as the log goes), stopped at the end.

    `beside` is the data folder that the newest pieces of the log may still be in. Raises ServiceFault.
    """
    base = choose(bases(backups), at)
    await asyncio.to_thread(_unpack, base, into)
    (into / "recovery.signal").touch()
    options = [f"restore_command={_fetch(backups, beside)}", "recovery_target_action=promote"]
    # Not to be asked anything meanwhile, so that it need not be as large as the server it was.
    options += ["hot_standby=off", "archive_mode=off"]
    if at is not None:
        options.append(f"recovery_target_time={at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00")
    server = EmbeddedPostgres(into, sockets, into.parent / f"{into.name}.log", secret, tuple(options))
    server.log.unlink(missing_ok=True)
    try:
        await asyncio.to_thread(server.start, REPLAY_TIMEOUT_S)
        connection = await dedicated(server.url("postgres"))
        try:
            yield server, await _found(base, connection)
        finally:
            connection.terminate()
    except ServiceFault as fault:
        said = server.log.read_text(errors="replace") if server.log.exists() else ""
        if "before configured recovery target was reached" in said:
            raise LogEnds("Backup", f"does not reach as far as {at}", "Name an earlier moment in --at.") from fault
        raise
    finally:
        await asyncio.to_thread(server.stop)
        server.log.unlink(missing_ok=True)


async def _found(base: Base, connection: Connection[Row]) -> Found:
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    people = await connection.fetchval("SELECT count(*) FROM users")
    until = await connection.fetchval("SELECT pg_last_xact_replay_timestamp()")
    return Found(base, tables, people, until)


async def restore(data: Path, backups: Path, sockets: Path, secret: SecretFile, *, at: datetime | None) -> Found:
    """Puts the database of a stopped installation back to `at`; the one before stays as `postgres.before-...`. Raises ServiceFault."""
    present, fresh = data / "postgres", data / "postgres.restoring"
    if at is not None and at > datetime.now(UTC):
        raise ServiceFault("Backup", f"cannot know {at}, which is still to come", "Name a moment that is past.")
    beside = present if (present / "pg_wal").exists() else None
    try:
        found = await _replay(backups, fresh, sockets, secret, at, beside)
    except LogEnds:
        if beside is None:
            raise
        # The whole log is here, and nobody wrote anything after that moment: it is the end that was asked for.
        found = await _replay(backups, fresh, sockets, secret, None, beside)
    _keep_histories(fresh, backups)
    if present.exists():
        present.rename(data / f"postgres.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    fresh.rename(present)
    # Bases of a future that is no more would be chosen for moments that they know otherwise.
    for base in bases(backups):
        if at is not None and base.ended_at > at:
            base.folder.rename(base.folder.with_name(f"{base.folder.name}.abandoned"))
    return found


async def _replay(
    backups: Path, into: Path, sockets: Path, secret: SecretFile, at: datetime | None, beside: Path | None
) -> Found:
    async with restored(backups, into, sockets, secret, at=at, beside=beside) as (_, found):
        return found


def _keep_histories(folder: Path, backups: Path) -> None:
    """Where the new log leaves the old one must be in the archive, or a later restore would follow the future that was left."""
    (backups / "wal").mkdir(parents=True, exist_ok=True)
    for path in (folder / "pg_wal").glob("*.history"):
        (backups / "wal" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


async def verify(backups: Path, scratch: Path, sockets: Path, secret: SecretFile) -> Found:
    """Restores the newest backup into `scratch`, which is removed again, and looks at every page and index. Raises ServiceFault."""
    base = choose(bases(backups), None)
    _check(
        [binaries() / "pg_verifybackup", "--no-parse-wal", base.folder],
        "its files are not what its manifest says",
        secret,
    )
    try:
        async with restored(backups, scratch, sockets, secret, at=None, beside=None) as (_, found):
            reached = ("-h", sockets, "-U", "postgres", "--no-password", DATABASE)
            everything = (binaries() / "pg_amcheck", "--install-missing", "--heapallindexed", *reached)
            await asyncio.to_thread(_check, everything, "a table or index of it is damaged", secret)
            return found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check(argv: Sequence[Path | str], otherwise: str, secret: SecretFile) -> None:
    done = run_tool(argv, timeout_s=CHECK_TIMEOUT_S, env={**os.environ, "PGPASSWORD": secret.get("postgres")})
    if done.returncode != 0:
        last = " ".join((done.stdout + done.stderr).split())[:300]
        raise ServiceFault("Backup", f"is not sound: {otherwise}: {last}", "Take a new one: `./penstock backup`.")


def _unpack(base: Base, into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True, mode=0o700)
    try:
        for name, folder in (("base.tar.gz", into), ("pg_wal.tar.gz", into / "pg_wal")):
            with tarfile.open(base.folder / name) as packed:
                packed.extractall(folder, filter="tar")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ServiceFault("Backup", f"{base.folder} cannot be unpacked: {error}", "Use an older one.") from error
    into.chmod(0o700)


def _fetch(backups: Path, beside: Path | None) -> str:
    """The server's command for one piece of the log: from the archive, else from the stopped server it was not copied from yet."""
    fetch = f"gzip -dc {shell_word(backups / 'wal', '%f.gz')} > %p"
    return fetch if beside is None else f"{fetch} || cp {shell_word(beside / 'pg_wal', '%f')} %p"
