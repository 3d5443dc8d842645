"""Backups of the embedded PostgreSQL: a base a day, and every piece of the log it writes in between, so that any moment can be had.

    backups/base/20261121T031500Z/   base.tar.gz, pg_wal.tar.gz, backup_manifest, as pg_basebackup made them
    backups/wal/                     the log since the oldest base, one compressed file a piece

A base that is not whole is named `.part` until it is. Nothing here reads the database's rows.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import structlog

from core.database import DatabaseDown, dedicated
from core.process import run_tool
from edge.local.fault import ServiceFault
from edge.local.postgres import EmbeddedPostgres, binaries

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
FIRST_AFTER_S = 600
LOOK_EVERY_S = 600
BASE_TIMEOUT_S = 6 * 3600
ARCHIVE_EVERY_S = 300
"""An idle database's last changes are in the archive after so long."""
_NAME = "%Y%m%dT%H%M%SZ"
_IS_NAME = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class Base:
    """A whole backup of all files, from which the log leads on."""

    folder: Path
    began_at: datetime

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @property
    def ended_at(self) -> datetime:
        """From when on a moment can be had from it: its manifest is written last."""
        return datetime.fromtimestamp((self.folder / "backup_manifest").stat().st_mtime, UTC)

    @property
    def first_wal(self) -> str:
        """The name of the first piece of the log that it needs."""
        found = re.search(rb'"Start-LSN": "([0-9A-F]+)/([0-9A-F]+)"', (self.folder / "backup_manifest").read_bytes())
        timeline = re.search(rb'"Timeline": (\d+)', (self.folder / "backup_manifest").read_bytes())
        if found is None or timeline is None:
            raise ServiceFault("Backup", f"{self.folder} has no readable manifest", "Use an older one: name it.")
        return f"{int(timeline[1]):08X}{int(found[1], 16):08X}{int(found[2], 16) >> 24:08X}"


def bases(folder: Path) -> list[Base]:
    """The whole bases below `folder`, the oldest first."""
    return [
        Base(path, datetime.strptime(path.name, _NAME).replace(tzinfo=UTC))
        for path in sorted((folder / "base").glob("*Z"))
        if _IS_NAME.fullmatch(path.name) and (path / "backup_manifest").exists()
    ]


def archiving(folder: Path) -> tuple[str, ...]:
    """The server's options under which every finished piece of its log is copied below `folder`.

    A piece that comes twice (after a crash) replaces itself; it counts only when it is on the disk under its name.
    """
    wal = folder / "wal"
    part, whole = (shell_word(wal, f"%f.{end}") for end in ("part", "gz"))
    command = f"gzip -1 -c %p > {part} && sync {part} && mv {part} {whole} && sync {shell_word(wal)}"
    return ("archive_mode=on", f"archive_timeout={ARCHIVE_EVERY_S}", f"archive_command={command}")


def shell_word(folder: Path, name: str = "") -> str:
    """A path in a command that PostgreSQL gives to the shell; it fills in what `name` has of `%f`, not what `folder` has."""
    return shlex.quote(str(folder)).replace("%", "%%") + (f"/{name}" if name else "")


def spare(found: Sequence[Base], keep: int) -> Sequence[Base]:
    """The bases that are more than `keep`, the oldest. Pure."""
    return found[: max(0, len(found) - keep)]


@dataclass(slots=True)
class Backups:
    """Takes and forgets backups of one running server."""

    folder: Path
    keep: int
    server: EmbeddedPostgres

    async def run(self, stopping: asyncio.Event) -> None:
        """A base a day until told to stop, the first when the server has run for a while. Failures are logged and tried again."""
        wait_s: float = FIRST_AFTER_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stopping.wait()
            if stopping.is_set():
                return
            wait_s = LOOK_EVERY_S
            if not self.is_due(datetime.now(UTC)):
                continue
            try:
                base = await self.take(datetime.now(UTC))
                log.info("backup_taken", folder=str(base.folder), size_bytes=base.size_bytes)
            except (ServiceFault, DatabaseDown, OSError) as error:
                log.error("backup_failed", error=str(error))

    def is_due(self, now: datetime) -> bool:
        """Whether the newest base is a day old, or there is none."""
        found = bases(self.folder)
        return not found or now - found[-1].began_at >= EVERY

    async def take(self, now: datetime) -> Base:
        """A base of this moment, noted in `backup_records`; then what is more than `keep` goes. Raises ServiceFault, DatabaseDown."""
        now = now.replace(microsecond=0)
        where = self.folder / "base" / now.strftime(_NAME)
        connection = await dedicated(self.server.url("postgres"))
        try:
            record = await connection.fetchval(
                """INSERT INTO backup_records (tenant_id, backup_type, backup_location, started_at)
                   VALUES (NULL, 'base', $1, $2) RETURNING id""",
                str(where),
                now,
            )
            try:
                base = await asyncio.to_thread(self._copy, where, now)
            except (ServiceFault, OSError):
                await connection.execute(
                    "UPDATE backup_records SET status = 'failed', completed_at = clock_timestamp() WHERE id = $1",
                    record,
                )
                raise
            await connection.execute(
                """UPDATE backup_records SET status = 'succeeded', completed_at = clock_timestamp(), size_bytes = $2
                   WHERE id = $1""",
                record,
                base.size_bytes,
            )
        finally:
            connection.terminate()
        self._forget()
        return base

    def _copy(self, where: Path, now: datetime) -> Base:
        part = where.with_name(f"{where.name}.part")
        for left in (self.folder / "base").glob("*.part"):
            shutil.rmtree(left, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        address = f"postgresql://postgres@/postgres?host={quote(str(self.server.socket_folder))}"
        argv: list[Path | str] = [
            binaries() / "pg_basebackup",
            "-d",
            address,
            "-D",
            part,
            "-Ft",
            "-z",
            "-X",
            "stream",
            "-c",
            "fast",
        ]
        done = run_tool(
            [*argv, "--no-password"],
            timeout_s=BASE_TIMEOUT_S,
            env={**os.environ, "PGPASSWORD": self.server.secret.get("postgres")},
        )
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ServiceFault("Backup", f"was not made: {last}", "The database goes on; mend it and try again.")
        part.rename(where)
        return Base(where, now)

    def _forget(self) -> None:
        """Bases beyond `keep`, and the log before the oldest that stays."""
        for old in spare(bases(self.folder), self.keep):
            shutil.rmtree(old.folder)
        left = bases(self.folder)
        if not left:
            return
        # A name is timeline, then place: what is before another in place is so on every timeline.
        first = min(base.first_wal[8:] for base in left)
        for path in (self.folder / "wal").glob("*.gz"):
            if re.match(r"[0-9A-F]{24}\b", path.name) and path.name[8:24] < first:
                path.unlink()
