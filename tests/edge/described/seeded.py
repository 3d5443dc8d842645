"""A web process over a seeded database, the people who ask it, and the ids that are in it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from core import keys
from core.database import dedicated
from core.process import die_with_parent
from core.settings import ROOT
from edge.api.access import AccessKeys
from edge.cli.seed import seed
from edge.local.valkey import EmbeddedValkey
from edge.settings import read_settings
from tests.conftest import Servers, run_sql
from tests.running import environment
from tests.waiting import until_now

START_S = 60
PEOPLE = 12
PASSWORD = "penstock-tests"
STAFF, SIGNED_IN = "alice@example.com", "carol@example.com"
EACH = 12
"""How many ids are kept of each column."""
_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND udt_name = 'uuid' AND column_name <> 'tenant_id' ORDER BY 1, 2
"""


@dataclass(frozen=True)
class SeededEdge:
    """Where it listens, the bearer of each identity, and what is in the database."""

    url: str
    bearers: Mapping[str, str | None]
    ids: Mapping[str, list[str]]
    """By the name of a column, and for `id` by `table.id`. Those of the people who ask are not among them."""
    log: Path

    def status(self, path: str, bearer: str | None) -> int:
        """What a plain GET is answered with."""
        asking = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {}
        )
        try:
            with urllib.request.urlopen(asking, timeout=START_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code


@contextmanager
def running_seeded(servers: Servers, valkey: EmbeddedValkey) -> Iterator[SeededEdge]:
    """Seeds, serves and signs in; ended with SIGTERM, and it must end well."""
    folder = Path(tempfile.mkdtemp(prefix="psx-", dir="/tmp"))
    name = f"t_{uuid4().hex[:16]}"
    settings = {
        "PENSTOCK_DATA": str(folder / "data"),
        "PENSTOCK_DATABASE_URL": servers.database(servers.app_url, name),
        "PENSTOCK_OWNER_DATABASE_URL": servers.database(servers.owner_url, name),
        "PENSTOCK_REDIS_URL": valkey.url,
        "PENSTOCK_STORE_URL": f"file://{folder / 'store'}",
        "PENSTOCK_SECRET_KEYS": f"k1:{'1' * 48}",
        "PENSTOCK_SEALING_KEYS": f"k1:{'2' * 48}",
        # One address and four identities send more in a minute than any person may.
        **{f"PENSTOCK_RATE_PER_{who}": "0" for who in ("USER", "KEY", "ADDRESS")},
    }
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    process: subprocess.Popen[bytes] | None = None
    try:
        asyncio.run(
            run_sql(
                servers.admin_url, f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy"
            )
        )
        asyncio.run(seed(read_settings(settings), users=PEOPLE, number=1, password=PASSWORD))
        ids = asyncio.run(_ids(servers.database(servers.admin_url, name)))
        log = folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge", "serve", "--fd", str(listening.fileno())],
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(listening.fileno(),),
                preexec_fn=die_with_parent(),
                cwd=ROOT,
            )
        listening.close()
        bearers = {
            "nobody": None,
            "signed in": _sign_in(url, SIGNED_IN),
            "staff": _sign_in(url, STAFF),
            "service": AccessKeys(keys.parse_ring(settings["PENSTOCK_SECRET_KEYS"])).service_key(),
        }
        yield SeededEdge(url, bearers, ids, log)
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()[-3000:]
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        asyncio.run(run_sql(servers.admin_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        shutil.rmtree(folder, ignore_errors=True)


async def _ids(url: str) -> dict[str, list[str]]:
    connection = await dedicated(url)
    found: dict[str, list[str]] = defaultdict(list)
    try:
        asking = await connection.fetch("SELECT id FROM users WHERE email = ANY($1)", [STAFF, SIGNED_IN])
        ours = {str(row["id"]) for row in asking}
        for table, column in await connection.fetch(_COLUMNS):
            rows = await connection.fetch(
                f'SELECT DISTINCT "{column}"::text AS id FROM "{table}" WHERE "{column}" IS NOT NULL ORDER BY 1 LIMIT {EACH}'
            )
            pool = found[f"{table}.id" if column == "id" else column]
            pool += [row["id"] for row in rows if row["id"] not in ours and row["id"] not in pool]
    finally:
        await connection.close()
    return {name: pool[:EACH] for name, pool in found.items() if pool}


def _sign_in(url: str, email: str) -> str:
    body = json.dumps({"email": email, "password": PASSWORD}).encode()
    asking = urllib.request.Request(
        f"{url}/auth/v1/token?grant_type=password", data=body, headers={"Content-Type": "application/json"}
    )

    def token() -> str:
        try:
            with urllib.request.urlopen(asking, timeout=START_S) as answer:
                return str(json.load(answer)["access_token"])
        except urllib.error.HTTPError as refused:
            refused.close()
            assert refused.code == 503, refused.code  # not ready yet
            return ""
        except OSError:
            return ""

    return until_now(token, START_S, f"{email} to be signed in")
