"""A real pgbouncer before a test's database, lending three connections to whoever comes, for a transaction each."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from core.process import start_service
from edge.local.account import unprivileged
from tests.waiting import until_now

PORT = 6432
LENT = 3

# As Debian ships it, no start-up parameter is ignored: a client that asks for what cannot be had is refused.
CONFIGURATION = """
[databases]
* = host={sockets}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {lent}
max_client_conn = 200
"""


@dataclass(frozen=True)
class Pooler:
    """A running pgbouncer."""

    folder: Path

    def url(self, straight: str) -> str:
        """The same login and database through it."""
        parts = urlsplit(straight)
        return f"postgresql://{parts.username}:{parts.password}@{parts.path}?host={quote(str(self.folder))}&port={PORT}"


@contextmanager
def running_pooler(*straight: str) -> Iterator[Pooler]:
    """One for these logins, all of one server that is reached by a unix socket."""
    program = shutil.which("pgbouncer")
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="psb-", dir="/tmp"))
    run_as = unprivileged(Path(program), folder / "users")
    parts = [urlsplit(url) for url in straight]
    sockets = parse_qs(parts[0].query)["host"][0]
    (folder / "users").write_text("".join(f'"{part.username}" "{part.password}"\n' for part in parts))
    (folder / "ini").write_text(CONFIGURATION.format(sockets=sockets, port=PORT, folder=folder, lent=LENT))
    run_as.own(folder)
    argv = [*run_as.prefix, program, folder / "ini"]
    process = start_service(argv, log=folder / "log", user=run_as.user, death_signal=signal.SIGKILL)
    try:
        until_now(lambda: _listens(folder) or process.poll() is not None, 60, "pgbouncer listens")
        assert process.poll() is None, (folder / "log").read_text()
        yield Pooler(folder)
    finally:
        process.kill()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _listens(folder: Path) -> bool:
    """Its socket's file is there a moment before it listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(folder / f".s.PGSQL.{PORT}")) == 0
