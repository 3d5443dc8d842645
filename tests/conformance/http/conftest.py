"""One real web process for the whole corpus, and, where they are asked for, nginx and haproxy in front of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from core.database import dedicated
from core.ids import DEFAULT_TENANT, uuid7
from core.objects import ObjectStore
from core.process import die_with_parent
from core.settings import ROOT
from edge.local.valkey import EmbeddedValkey
from tests.conftest import Servers
from tests.ports import free_port
from tests.running import environment
from tests.waiting import until_now

SEGMENT = bytes(range(256)) * 40
LARGE_TIMES = 800
START_S = 60
_COUNT = re.compile(r"^penstock_requests_total\{area=\"(?!metrics)[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass
class Front:
    """A running web process, a film in its store and a token for it."""

    port: int
    film: UUID
    token: str
    process: subprocess.Popen[bytes]
    log: Path
    asked: int = 0
    """How many requests the fixture itself has had answered."""

    def fill(self, raw: bytes) -> bytes:
        """`raw` with the film and the token in it."""
        return raw.replace(b"@FILM@", str(self.film).encode()).replace(b"@TOKEN@", self.token.encode())

    def requests_seen(self) -> int:
        """How many requests it has answered so far, those for this count left out. The lane's are counted a second later."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return int(sum(float(value) for value in _COUNT.findall(answer.read().decode())))


async def _furnish(url: str, admin_url: str, name: str, store: ObjectStore, film: UUID) -> None:
    admin = await dedicated(admin_url)
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy")
    finally:
        await admin.close()
    connection = await dedicated(url)
    try:
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
        await connection.execute(
            """INSERT INTO contents (id, title, content_type, is_free, is_published, published_at)
               VALUES ($1, 'Film', 'MOVIE', true, true, now())""",
            film,
        )
        generation = uuid4()
        await connection.execute(
            """INSERT INTO generations (id, content_id, number, state, store_prefix, duration_ms, has_video, published_at)
               VALUES ($1, $2, 1, 'published', 'hls/film', 60000, true, now())""",
            generation,
            film,
        )
        await connection.execute("UPDATE contents SET generation_id = $1 WHERE id = $2", generation, film)
    finally:
        await connection.close()
    await store.put("hls/film/master.m3u8", b"#EXTM3U\n#EXT-X-VERSION:7\n")
    await store.put("hls/film/video/720p/1.m4s", SEGMENT)
    await store.put("hls/film/video/720p/large.m4s", SEGMENT * LARGE_TIMES)


async def _drop(admin_url: str, name: str) -> None:
    admin = await dedicated(admin_url)
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await admin.close()


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


Launch = Callable[[int], list[str]]
"""The command that serves on an inherited socket, by its number."""


def serving(number: int) -> list[str]:
    """The web process as it is."""
    return [sys.executable, "-m", "edge", "serve", "--fd", str(number)]


@contextmanager
def running_front(servers: Servers, valkey: EmbeddedValkey, launch: Launch = serving) -> Iterator[Front]:
    """A web process over a database and a store of its own; ended with SIGTERM, and it must end well."""
    folder = Path(tempfile.mkdtemp(prefix="psf-", dir="/tmp"))
    name, film = f"t_{uuid4().hex[:16]}", uuid7()
    store = ObjectStore(f"file://{folder / 'store'}")
    admin_url = servers.database(servers.admin_url, name)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = int(listening.getsockname()[1])
    process: subprocess.Popen[bytes] | None = None
    try:
        asyncio.run(_furnish(admin_url, servers.admin_url, name, store, film))
        settings = {
            "PENSTOCK_DATA": str(folder / "data"),
            "PENSTOCK_DATABASE_URL": servers.database(servers.app_url, name),
            "PENSTOCK_REDIS_URL": valkey.url,
            "PENSTOCK_STORE_URL": store.url,
            "PENSTOCK_SECRET_KEYS": f"k1:{'1' * 48}",
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                launch(listening.fileno()),
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(listening.fileno(),),
                preexec_fn=die_with_parent,
                cwd=ROOT,
            )
        listening.close()
        front = Front(port, film, "", process, folder / "log")
        until_now(lambda: _is_ready(front), START_S, "the web process to be ready")
        asking = urllib.request.Request(
            f"http://127.0.0.1:{port}/play/{film}", data=b"{}", headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asking, timeout=60) as answer:
            front.token = json.loads(answer.read())["token"]
        front.asked += 1
        yield front
        process.terminate()
        assert process.wait(timeout=60) == 0, front.log.read_text()[-3000:]
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        asyncio.run(_drop(servers.admin_url, name))
        shutil.rmtree(folder, ignore_errors=True)


def _is_ready(front: Front) -> bool:
    assert front.process.poll() is None, front.log.read_text()[-3000:]
    try:
        # Given up sooner, it would be answered and counted all the same once the process serves: the socket is there before it.
        with urllib.request.urlopen(f"http://127.0.0.1:{front.port}/readyz", timeout=START_S) as answer:
            front.asked += 1
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        front.asked += 1
        return False
    except OSError:
        return False


@pytest.fixture(scope="package")
def front(servers: Servers, valkey: EmbeddedValkey) -> Iterator[Front]:
    """The web process that the corpus is sent to."""
    with running_front(servers, valkey) as running:
        yield running


@dataclass
class Proxy:
    """A proxy before a front of its own; `log` has a line for each request it took, with the server it handed that one to."""

    front: Front
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def taken(self) -> tuple[int, int]:
        """How many requests it has seen, and how many of them it handed on."""
        served = re.findall(r"^corpus (\S+)", self.log.read_text(errors="replace"), re.MULTILINE)
        return len(served), sum(server not in ("-", "<NOSRV>") for server in served)


@contextmanager
def _running_proxy(front: Front, folder: Path, argv: list[str], port: int, log: Path) -> Iterator[Proxy]:
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent, cwd=folder
        )
    try:

        def up() -> bool:
            assert process.poll() is None, (folder / "out").read_text()[-2000:]
            return listens(port)

        until_now(up, 60, f"{argv[0]} to listen")
        yield Proxy(front, port, process, log)
    finally:
        process.terminate()
        process.wait(timeout=60)


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_header_timeout 2s; client_body_timeout 2s; keepalive_timeout 2s; lingering_timeout 1s;
  log_format corpus 'corpus $upstream_addr $status';
  upstream edge {{ server 127.0.0.1:{edge}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port}; access_log {folder}/access.log corpus;
    location / {{
      proxy_pass http://edge; proxy_http_version 1.1; proxy_next_upstream off;
      proxy_set_header Connection ""; proxy_set_header Host $host;
    }}
  }}
}}
"""

HAPROXY = """
global
  log stdout format raw local0
defaults
  mode http
  log global
  log-format "corpus %s %ST"
  option http-keep-alive
  retries 0
  timeout connect 5s
  timeout client 2s
  timeout http-request 2s
  timeout http-keep-alive 2s
  timeout server 10s
frontend front
  bind 127.0.0.1:{port}
  default_backend edge
backend edge
  http-reuse always
  server one 127.0.0.1:{edge}
"""


@pytest.fixture(scope="package")
def nginx(servers: Servers, valkey: EmbeddedValkey) -> Iterator[Proxy]:
    """nginx before a front, connections to it kept and shared."""
    folder = Path(tempfile.mkdtemp(prefix="psn-", dir="/tmp"))
    port = free_port()
    argv = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running_front(servers, valkey) as front:
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, edge=front.port, port=port))
        with _running_proxy(front, folder, argv, port, folder / "access.log") as proxy:
            yield proxy
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def haproxy(servers: Servers, valkey: EmbeddedValkey) -> Iterator[Proxy]:
    """haproxy before a front, connections to it kept and shared."""
    folder = Path(tempfile.mkdtemp(prefix="psh-", dir="/tmp"))
    port = free_port()
    argv = ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
    with running_front(servers, valkey) as front:
        (folder / "haproxy.cfg").write_text(HAPROXY.format(edge=front.port, port=port))
        with _running_proxy(front, folder, argv, port, folder / "out") as proxy:
            yield proxy
    shutil.rmtree(folder, ignore_errors=True)
