"""The servers that are compared, each a process of its own on the core under test: nginx, a plain aiohttp handler, our edge."""

from __future__ import annotations

import asyncio
import base64
import getpass
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.asking import free_port, wait_until_answers
from bench.plain import token_for
from bench.stage import Stage
from core.process import start_service
from core.settings import ROOT
from edge.hls.stored import base_headers, prepare

LIFE_S = 6 * 3600
STOP_S = 10


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server. `prefix` is all of a target before an object's name: it carries the right to watch."""

    name: str
    port: int
    pid: int
    prefix: str


def cores() -> tuple[int, int]:
    """The core under test and the core of everything else. Raises RuntimeError when there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise RuntimeError("This benchmark needs two cores: one for the server, one for the load.")
    return mine[0], mine[1]


class Runner:
    """Starts servers on the core under test and ends them again."""

    def __init__(self, core: int) -> None:
        self.core = core

    @asynccontextmanager
    async def run(
        self, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, fds: tuple[int, ...] = ()
    ) -> AsyncIterator[subprocess.Popen[bytes]]:
        """The process, pinned; SIGTERM on leaving."""
        process = start_service(
            [shutil.which("taskset") or "taskset", "--cpu-list", str(self.core), *argv],
            log=log,
            env=env,
            pass_fds=fds,
            cwd=ROOT,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.to_thread(process.wait, STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(STOP_S)

    @asynccontextmanager
    async def edge(self, stage: Stage, *, cache_mb: int = 256) -> AsyncIterator[Peer]:
        """One web process as the product runs it; its token comes from POST /play."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        port = int(listening.getsockname()[1])
        environment = {**stage.installation.environment(), "PENSTOCK_CACHE_MB": str(cache_mb)}
        argv = [sys.executable, "-m", "edge", "serve", "--fd", str(listening.fileno())]
        with listening:
            async with self.run(argv, stage.folder / "edge.log", environment, (listening.fileno(),)) as process:
                try:
                    await wait_until_answers(port, "/readyz")
                except TimeoutError:
                    said = (stage.folder / "edge.log").read_text(errors="replace").strip()[-300:]
                    raise RuntimeError(f"the edge does not get ready (exit code {process.poll()}): {said}") from None
                (grant,) = await stage.grants(port, 1)
                yield Peer("edge", port, process.pid, grant.prefix)

    @asynccontextmanager
    async def plain(self, stage: Stage) -> AsyncIterator[Peer]:
        """aiohttp on uvloop with a handler that does no more than it must."""
        port, secret = free_port(), secrets.token_hex(16)
        argv = [sys.executable, "-m", "bench.plain", str(port), str(stage.media.parents[1]), secret]
        async with self.run(argv, stage.folder / "plain.log") as process:
            await wait_until_answers(port, "/ready")
            yield Peer("aiohttp", port, process.pid, f"/hls/{token_for(secret, stage.free)}/{stage.free}/1/")

    @asynccontextmanager
    async def nginx(self, stage: Stage) -> AsyncIterator[Peer]:
        """One worker with its token module, tuned as its documentation advises for files."""
        folder = stage.folder / "nginx"
        folder.mkdir(exist_ok=True)
        port, secret = free_port(), secrets.token_hex(16)
        configuration = folder / f"{port}.conf"
        configuration.write_text(_nginx_configuration(folder, stage, port, secret))
        argv = [shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "nginx", "-c"]
        async with self.run([*argv, configuration, "-e", folder / "error.log"], stage.folder / "nginx.log") as process:
            await wait_until_answers(port, "/ready")
            yield Peer("nginx", port, _worker_of(process.pid), _nginx_prefix(stage, secret))


def _worker_of(master: int) -> int:
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(worker)


def _nginx_prefix(stage: Stage, secret: str) -> str:
    until = int(time.time()) + LIFE_S
    digest = hashlib.md5(f"{until}127.0.0.1 {secret}".encode(), usedforsecurity=False).digest()
    mark = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"/hls/{mark}.{until}/{stage.free}/1/"


def _nginx_configuration(folder: Path, stage: Stage, port: int, secret: str) -> str:
    """Its own headers, and by add_header those of the edge that it lacks. ETag, ranges and types are nginx's own."""
    own = {"Content-Type", "ETag", "Accept-Ranges", "Vary"}

    def added(suffix: str) -> str:
        headers = base_headers(prepare(f"any.{suffix}", b""))
        return " ".join(f'add_header {name} "{value}";' for name, value in headers.items() if name not in own)

    check = f"""
            secure_link $mark,$until;
            secure_link_md5 "$secure_link_expires$remote_addr {secret}";
            if ($secure_link = "") {{ return 403; }}
            if ($secure_link = "0") {{ return 410; }}
            alias {stage.media.parents[1]}/$rest;"""
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    return f"""
{user} worker_processes 1; worker_rlimit_nofile 20000; daemon off; pcre_jit on;
pid {folder}/{port}.pid; error_log {folder}/error.log crit;
events {{ worker_connections 12000; multi_accept on; use epoll; }}
http {{
    access_log off; server_tokens off; default_type application/octet-stream;
    types {{ application/vnd.apple.mpegurl m3u8; video/iso.segment m4s; video/mp4 mp4; }}
    sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 75s;
    open_file_cache max=20000 inactive=600s; open_file_cache_valid 600s; open_file_cache_errors on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location = /ready {{ return 200 "ready"; }}
        location ~ ^/hls/(?<mark>[^/.]+)\\.(?<until>[0-9]+)/(?<rest>.+\\.m3u8)$ {{
            {check}
            gzip_static on; gzip_vary on; {added("m3u8")}
        }}
        location ~ ^/hls/(?<mark>[^/.]+)\\.(?<until>[0-9]+)/(?<rest>.+)$ {{
            {check}
            {added("m4s")}
        }}
    }}
}}
"""


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def cpu_s(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
