"""The domain engine on one core against a handler written by hand and against FastAPI with SQLAlchemy."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
import venv
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

import orjson
from rich.console import Console
from rich.table import Table

from bench import wrk
from bench.asking import ask, free_port, wait_until_answers
from bench.peers import Peer, Runner, cores
from bench.report import store
from bench.stage import Person, Stage, temporary_folder
from bench.throughput import Plan, in_turn, told
from bench.verdict import Figure, Target, median_ratio, shown, with_ratio
from core.database import Database
from core.process import run_tool
from core.queries import load
from core.settings import ROOT
from core.viewer import service
from edge.local.installation import Installation
from edge.settings import read_settings

SQL = load("bench", "api.sql")
TITLES = 2_000
CONNECTIONS = 32
WARM_S = 2
QUERY = "/rest/v1/contents?select=id,title,content_type,duration,is_free,genres(title)&order=published_at.desc&limit=20"
# Of the peers only: they are no part of the product and of no lock.
PEERS = ("fastapi==0.*", "sqlalchemy[asyncio]==2.*", "asyncpg", "uvicorn[standard]")
INSTALL_S = 600


@dataclass(frozen=True, slots=True)
class Asked:
    """A server and the one request it is given, over and over."""

    peer: Peer
    request: str


def main(argv: list[str]) -> int:
    """0 when every figure meets its target, 1 when one misses, 2 when something needed is not here."""
    parser = argparse.ArgumentParser(prog="penstock bench api", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="of load per server and round (default 5)")
    asked = parser.parse_args(argv)
    if asked.rounds < 1 or asked.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    console = Console(stderr=True)
    try:
        under_test, others = cores()
        if shutil.which("wrk") is None:
            raise RuntimeError("wrk not found. Install it: apt-get install wrk")
        python = _peers_python(console)
    except (RuntimeError, TimeoutExpired) as error:
        console.print(f"[red]{error}", highlight=False)
        return 2
    os.sched_setaffinity(0, {others})
    plan = Plan(asked.rounds, asked.seconds, lambda text: console.print(f"[dim]{text}", highlight=False))
    try:
        figures = asyncio.run(_measure(Runner(under_test), python, plan))
    except (wrk.LoadFault, RuntimeError, TimeoutError) as error:
        console.print(f"[red]{error}", highlight=False)
        return 2
    _show(figures)
    path = store("api", figures, {}, rounds=asked.rounds, seconds=asked.seconds)
    console.print(f"Stored in {path.relative_to(ROOT)}, charts beside it", highlight=False)
    return 0 if all(figure.holds for figure in figures) else 1


def _peers_python(console: Console) -> Path:
    """The interpreter of an environment with PEERS, made once under the data folder. Raises RuntimeError."""
    folder = read_settings().data / "bench-api"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists() or stamp.read_text() != " ".join(PEERS):
        with console.status("Installing FastAPI and SQLAlchemy for comparison"):
            venv.create(folder, with_pip=True, clear=True)
            done = run_tool([python, "-m", "pip", "install", "--quiet", *PEERS], timeout_s=INSTALL_S)
        if done.returncode != 0:
            raise RuntimeError(f"The peers cannot be installed: {done.stderr.strip()[-300:]}")
        stamp.write_text(" ".join(PEERS))
    return python


async def _measure(runner: Runner, python: Path, plan: Plan) -> list[Figure]:
    folder = temporary_folder()
    # Nothing of the caller's environment: a bench must never write into a real database.
    installation = Installation(read_settings({"PENSTOCK_DATA": str(folder)}))
    try:
        await installation.start()
        assert installation.settings.database_url is not None
        database = await Database.connect(installation.settings.database_url, name="bench", max_size=2)
        async with database.transaction(service()) as tx:
            await tx.run(SQL["genres_insert"])
            await tx.run(SQL["titles_insert"], TITLES)
            await tx.run(SQL["shelves_insert"])
            some = await tx.connection.fetchval("SELECT id FROM contents LIMIT 1")
        stage = Stage(folder, installation, database, some, some)
        (person,) = await stage.people(1)
        await _analyse(installation)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            edge = await enter(_edge(runner, stage, person))
            plain = await enter(_plain(runner, stage))
            orm = await enter(_orm(runner, stage, python))
            await _check_alike(edge, plain, orm)
            hot = Asked(Peer("hot", edge.peer.port, edge.peer.pid, ""), _request(edge.peer.port, QUERY))
            rounds = []
            for number in range(plan.rounds + 1):
                found: dict[str, float] = {}
                for one in in_turn_asked([edge, plain, orm, hot], number):
                    run = wrk.same(
                        folder,
                        one.peer,
                        one.request,
                        seconds=plan.seconds if number else WARM_S,
                        connections=CONNECTIONS,
                    )
                    found[one.peer.name], found[f"{one.peer.name} busy"] = run.requests_per_s, run.busy
                if number:
                    rounds.append(found)
                plan.say(told(found))
        await database.close()
    finally:
        await asyncio.to_thread(installation.stop)
        await asyncio.to_thread(shutil.rmtree, folder, True)
    return [
        _figure(
            "list",
            "20 titles with genres, signed in, with RLS, against aiohttp by hand without",
            rounds,
            "edge",
            "aiohttp",
            0.8,
        ),
        _figure("framework", "the same against FastAPI and SQLAlchemy 2 without RLS", rounds, "edge", "fastapi", 3.0),
        _figure("hot", "a hot read of guests against aiohttp by hand", rounds, "hot", "aiohttp", 5.0),
    ]


def in_turn_asked(asked: list[Asked], number: int) -> list[Asked]:
    """Another one first in every round."""
    order = [peer.name for peer in in_turn([one.peer for one in asked], number)]
    return sorted(asked, key=lambda one: order.index(one.peer.name))


def _figure(name: str, what: str, rounds: list[dict[str, float]], of: str, over: str, least: float) -> Figure:
    compared = [with_ratio(found, of=of, over=over) for found in rounds]
    busy = sorted(found[of] / found[f"{of} busy"] * found[f"{over} busy"] / found[over] for found in rounds)
    note = f"for each second of the server's own processor time: {busy[len(busy) // 2]:.2f}x"
    return Figure(name, what, "requests/s", compared, median_ratio(compared), Target("least", least, "x"), (note,))


def _request(port: int, target: str, token: str | None = None) -> str:
    head = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: application/json", "User-Agent: bench"]
    head += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*head, "", ""])


@asynccontextmanager
async def _edge(runner: Runner, stage: Stage, person: Person) -> AsyncIterator[Asked]:
    """One web process as the product runs it, asked by somebody signed in: nothing is answered from memory then."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    port = int(listening.getsockname()[1])
    argv = [sys.executable, "-m", "edge", "serve", "--fd", str(listening.fileno())]
    with listening:
        # Counted as ever, but not refused: nobody else asks 3,000 times a second.
        environment = {**stage.installation.environment(), "PENSTOCK_RATE_PER_USER": "10000000"}
        async with runner.run(argv, stage.folder / "edge.log", environment, (listening.fileno(),)) as process:
            await wait_until_answers(port, "/readyz")
            yield Asked(Peer("edge", port, process.pid, ""), _request(port, QUERY, person.access_token))


@asynccontextmanager
async def _plain(runner: Runner, stage: Stage) -> AsyncIterator[Asked]:
    port = free_port()
    argv = [sys.executable, "-m", "bench.api_plain", str(port), _past_policies(stage)]
    async with runner.run(argv, stage.folder / "plain.log") as process:
        await wait_until_answers(port, "/ready")
        yield Asked(Peer("aiohttp", port, process.pid, ""), _request(port, "/titles"))


@asynccontextmanager
async def _orm(runner: Runner, stage: Stage, python: Path) -> AsyncIterator[Asked]:
    port = free_port()
    argv = [python, ROOT / "bench" / "api_orm.py", str(port), _past_policies(stage)]
    async with runner.run([str(part) for part in argv], stage.folder / "orm.log") as process:
        await wait_until_answers(port, "/ready")
        yield Asked(Peer("fastapi", port, process.pid, ""), _request(port, "/titles"))


def _past_policies(stage: Stage) -> str:
    """The superuser's address: row-level security does not bind it."""
    assert stage.installation.postgres is not None
    return stage.installation.postgres.url("postgres")


async def _analyse(installation: Installation) -> None:
    assert installation.postgres is not None
    database = await Database.connect(installation.postgres.url("postgres"), name="bench", max_size=1)
    async with database.transaction(service()) as tx:
        await tx.connection.execute("ANALYZE")
    await database.close()


async def _check_alike(*asked: Asked) -> None:
    """All answer the same titles with the same genres. Raises RuntimeError: else the figures would mean nothing."""
    seen: list[object] = []
    for one in asked:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.peer.port)
        head = one.request.split("\r\n")
        token = next((line.partition("Bearer ")[2] for line in head if line.startswith("Authorization")), None)
        answer = await ask(reader, writer, head[0].split(" ")[1], token=token)
        writer.close()
        if answer.status != 200:
            raise RuntimeError(f"{one.peer.name} answers {answer.status}: {answer.body[:200]!r}")
        rows = orjson.loads(answer.body)
        seen.append([{**row, "genres": sorted(genre["title"] for genre in row["genres"])} for row in rows])
    if any(rows != seen[0] for rows in seen) or len(json.dumps(seen[0])) < 1000:
        raise RuntimeError("the servers do not answer the same")


def _show(figures: list[Figure]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "aiohttp", "fastapi", "edge", "hot", "value", "target", "verdict"):
        table.add_column(heading, justify="left" if heading in ("figure", "verdict") else "right")
    for figure in figures:
        medians = figure.medians()
        peers = (shown(medians[peer], "") for peer in ("aiohttp", "fastapi", "edge", "hot"))
        verdict = "[green]holds" if figure.holds else "[red]misses"
        table.add_row(figure.what, *peers, shown(figure.value, "x"), str(figure.target), verdict)
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(table)
    for figure in figures:
        for note in figure.notes:
            console.print(f"[dim]{figure.name}: {note}", highlight=False)
