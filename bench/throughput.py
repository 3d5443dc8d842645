"""Figures of how much one core serves: playlists, segments from memory, segments from the page cache, many viewers."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from statistics import median

from bench import wrk
from bench.peers import Peer, Runner
from bench.stage import AUDIO, LARGE, MASTER, PLAYLIST, SEGMENTS, VIDEO, Stage
from bench.verdict import Figure, Round, Target, median_ratio, with_ratio

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often. `say` is told what is going on."""

    rounds: int
    seconds: float
    say: Say


Served = tuple[float, float]
"""What a server served in a second, and the share of its core it used for that."""

Measure = Callable[[Stage, Runner, Plan], Awaitable[Figure]]

MANY = tuple(f"many/{number}.m4s" for number in range(SEGMENTS))
WARM_S = 1
# What one viewer asks for with one grant in the time of twenty requests.
VIEWING = (
    MASTER,
    PLAYLIST,
    "audio/en/playlist.m3u8",
    "video/720p/init.mp4",
    "audio/en/init.mp4",
    *(name for number in range(8) for name in (VIDEO[number], AUDIO[number])),
)[:20]
VIEWERS = 256
GRANTS = 4000
AT_A_TIME = 1000


async def playlists(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """One authorised media playlist of 150 segments, asked for by browsers that take gzip."""

    def load(peer: Peer, seconds: float, number: int) -> Served:
        run = wrk.cycle(stage.folder, peer, [PLAYLIST], seconds=seconds, connections=64)
        return run.requests_per_s, run.busy

    rounds = await _interleaved((runner.nginx(stage), runner.edge(stage), runner.plain(stage)), plan, load)
    what = "authorised media playlists, requests/s per core"
    return Figure(
        "playlists",
        what,
        "requests/s",
        rounds,
        median_ratio(rounds),
        Target("least", 1.5, "x"),
        per_busy_second(rounds),
    )


async def memory(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """Authorised segments of 2 MB that are in memory."""

    def load(peer: Peer, seconds: float, number: int) -> Served:
        run = wrk.cycle(stage.folder, peer, LARGE, seconds=seconds, connections=32)
        return run.bytes_per_s / 1e9, run.busy

    rounds = await _interleaved((runner.nginx(stage), runner.edge(stage), runner.plain(stage)), plan, load)
    what = "authorised 2 MB segments from memory"
    return Figure(
        "memory", what, "GB/s", rounds, median_ratio(rounds), Target("least", 1.2, "x"), per_busy_second(rounds)
    )


async def pages(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """10,000 segments of 200 kB at random: 2 GB in the page cache, 64 MB in the edge."""

    def load(peer: Peer, seconds: float, number: int) -> Served:
        run = wrk.scatter(stage.folder, peer, MANY, seconds=seconds, connections=32, seed=number)
        return run.requests_per_s, run.busy

    def warm(peer: Peer) -> None:
        # Until each has been asked for: nginx has opened all of them then, the edge knows all of them.
        asked = 0
        while asked < len(MANY):
            asked += wrk.cycle(stage.folder, peer, MANY, seconds=WARM_S, connections=32, first=asked).requests

    rounds = await _interleaved((runner.nginx(stage), runner.edge(stage, cache_mb=64)), plan, load, warm)
    what = "10,000 segments of 200 kB from the page cache"
    return Figure(
        "pages", what, "requests/s", rounds, median_ratio(rounds), Target("least", 1.0, "x"), per_busy_second(rounds)
    )


async def _interleaved(
    starts: Sequence[AbstractAsyncContextManager[Peer]],
    plan: Plan,
    load: Callable[[Peer, float, int], Served],
    warm: Callable[[Peer], None] = lambda peer: None,
) -> list[dict[str, float]]:
    """All peers running, one under load at a time; the first pass warms them and counts for nothing."""
    rounds = []
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(start) for start in starts]
        for peer in peers:
            warm(peer)
        for number in range(plan.rounds + 1):
            found: dict[str, float] = {}
            for peer in in_turn(peers, number):
                found[peer.name], busy = load(peer, plan.seconds if number else WARM_S, number)
                found[f"{peer.name} busy"] = busy
            if number:
                rounds.append(with_ratio(found))
            plan.say(told(found))
    return rounds


async def tokens(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """256 viewers, a new grant every 20 requests, against the same viewers who keep theirs."""
    rounds = []
    for number in range(plan.rounds):
        found: dict[str, float] = {}
        for names, kind in ((VIEWING, ""), ([PLAYLIST] * len(VIEWING), " playlists")):
            people = await stage.people(GRANTS // 4)
            async with runner.edge(stage) as edge:
                plan.say(f"{GRANTS} times POST /play")
                prefixes = []
                for _ in range(GRANTS // AT_A_TIME):
                    prefixes += [grant.prefix for grant in await stage.grants(edge.port, AT_A_TIME, people)]
                    await stage.just_played()
            for fresh in (True, False) if number % 2 else (False, True):
                load = await _audience(stage, runner, prefixes, names, fresh=fresh, seconds=plan.seconds)
                found[("new" if fresh else "kept") + kind] = load.requests_per_s
                found[("new" if fresh else "kept") + kind + " busy"] = load.busy
        rounds.append(with_ratio(found, of="new", over="kept"))
        plan.say(told(rounds[-1]))
    playlists = median(found["new playlists"] / found["kept playlists"] for found in rounds)
    return Figure(
        "tokens",
        "a new token every 20 requests of a viewing, against the same token",
        "requests/s",
        rounds,
        median_ratio(rounds),
        Target("least", 0.7, "x"),
        (f"with playlists alone, 1 kB each: {playlists:.2f}x", *per_busy_second(rounds, of="new", over="kept")),
    )


async def _audience(
    stage: Stage, runner: Runner, prefixes: Sequence[str], names: Sequence[str], *, fresh: bool, seconds: float
) -> wrk.Load:
    """As long as asked, or shorter if the tokens do not last. A process of its own each time: to it all tokens are new."""
    while True:
        async with runner.edge(stage) as edge:
            # Now it has the objects in memory and knows the browser.
            wrk.cycle(stage.folder, edge, sorted({*VIEWING, *names}), seconds=WARM_S, connections=8)
            # A viewer's first request follows /play at once, which has just learnt of the right.
            await stage.just_played()
            run = functools.partial(wrk.audience, stage.folder, edge, prefixes, names, viewers=VIEWERS, connections=64)
            try:
                return run(fresh=fresh, seconds=seconds)
            except wrk.LoadFault:
                if seconds <= 1:
                    raise
                seconds = max(1, seconds // 2)


def per_busy_second(rounds: Sequence[Round], *, of: str = "edge", over: str = "nginx") -> tuple[str, ...]:
    """The ratio for each second of processor time instead: what is left when a busy machine or the load was the limit."""
    ratio = median(found[of] / found[f"{of} busy"] * found[f"{over} busy"] / found[over] for found in rounds)
    return (f"for each second of processor time: {ratio:.2f}x",)


def in_turn(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Another one first in every round: whatever drifts, drifts for all."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def told(found: Mapping[str, float]) -> str:
    """A round in one line."""
    return ", ".join(f"{name} {value:,.2f}" for name, value in found.items())
