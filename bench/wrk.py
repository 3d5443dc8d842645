"""wrk as the load generator: requests of a browser, as many as the server takes, from one thread on the other core."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.browser import tail
from bench.peers import Peer, cpu_s
from core.process import run_tool

# Prints what wrk's own summary rounds away.
_DONE = """
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"bytes":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"failed":%d}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""

# A constant request: without a `request` function wrk runs no Lua while it measures.
_SAME = """
wrk.init = function() wrk.request = function() return %(message)s end end
"""

_CYCLE = """
local list, n = {}, %(first)d
for line in io.lines(%(targets)s) do list[#list + 1] = "GET " .. line .. %(tail)s end
request = function() n = n %% #list + 1; return list[n] end
"""

# Draws at random, so that no order in memory helps.
_RANDOM = """
local list = {}
for line in io.lines(%(targets)s) do list[#list + 1] = "GET " .. line .. %(tail)s end
math.randomseed(%(seed)d)
request = function() return list[math.random(#list)] end
"""

# Viewers take turns. Each asks for `names` in order with one token, then goes on with another, and not all at the same
# moment; between two requests of a viewer all others come, so a token's first answer is there before its second request.
_VIEWERS = """
local tokens, names, n = {}, {}, 0
for line in io.lines(%(targets)s) do tokens[#tokens + 1] = line end
for line in io.lines(%(names)s) do names[#names + 1] = line .. %(tail)s end
local viewers, per, fresh = %(viewers)d, #names, %(fresh)s
request = function()
  local viewer, turn = n %% viewers, math.floor(n / viewers)
  n = n + 1
  turn = turn + viewer %% per
  local token = viewer
  if fresh then token = (viewer + viewers * math.floor(turn / per)) %% #tokens end
  return "GET " .. tokens[token + 1] .. names[turn %% per + 1]
end
"""


# Viewers who each wait a while between two requests, independently: many of them make a Poisson stream, nearly, and a server
# that stalls is charged for all who come meanwhile, since a wait (9 ms) is long against an answer. wrk takes whole milliseconds.
_APART = """
math.randomseed(%(seed)d)
delay = function() return math.floor(-%(mean_ms)f * math.log(1 - math.random()) + math.random()) end
"""


class LoadFault(Exception):  # noqa: N818 - states the fact
    """The load was not served as it should be: figures of such a run mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw. Bytes include headers."""

    requests: int
    bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    busy: float
    """The share of its core that the server used: well below 1, and the load was the bottleneck, not the server."""

    @property
    def requests_per_s(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds


def cycle(folder: Path, peer: Peer, names: Sequence[str], *, seconds: float, connections: int, first: int = 0) -> Load:
    """The objects `names` one after the other, over and over, beginning after the `first`."""
    if len(names) == 1:
        message = f"GET {peer.prefix}{names[0]}{tail(peer.port)}"
        return run(folder, peer, _SAME % {"message": lua(message)}, seconds, connections)
    targets = lines(folder / "targets", [peer.prefix + name for name in names])
    return run(
        folder, peer, _CYCLE % {"first": first, "targets": targets, "tail": lua(tail(peer.port))}, seconds, connections
    )


def same(folder: Path, peer: Peer, message: str, *, seconds: float, connections: int) -> Load:
    """One whole request, over and over."""
    return run(folder, peer, _SAME % {"message": lua(message)}, seconds, connections)


def scatter(folder: Path, peer: Peer, names: Sequence[str], *, seconds: float, connections: int, seed: int) -> Load:
    """The objects `names` at random."""
    targets = lines(folder / "targets", [peer.prefix + name for name in names])
    script = _RANDOM % {"targets": targets, "tail": lua(tail(peer.port)), "seed": seed}
    return run(folder, peer, script, seconds, connections)


def apart(folder: Path, peer: Peer, name: str, *, rate: float, seconds: float, connections: int, seed: int) -> Load:
    """The object `name`, asked for `rate` times a second by viewers who do not wait for one another.

    Raises LoadFault when a tenth of that rate was not reached: latencies of different loads do not compare.
    """
    message = lua(f"GET {peer.prefix}{name}{tail(peer.port)}")
    script = _SAME % {"message": message} + _APART % {"seed": seed, "mean_ms": connections / rate * 1000}
    load = run(folder, peer, script, seconds, connections)
    if load.requests_per_s < 0.9 * rate:
        raise LoadFault(f"{peer.name} was asked {load.requests_per_s:.0f} times a second, not {rate:.0f}")
    return load


def audience(
    folder: Path,
    peer: Peer,
    prefixes: Sequence[str],
    names: Sequence[str],
    *,
    viewers: int,
    fresh: bool,
    seconds: float,
    connections: int,
) -> Load:
    """`viewers` who each ask for `names` and then, if `fresh`, go on with a token not used before.

    Raises LoadFault when the tokens did not last.
    """
    script = _VIEWERS % {
        "targets": lines(folder / "tokens", prefixes),
        "names": lines(folder / "names", names),
        "tail": lua(tail(peer.port)),
        "viewers": viewers,
        "fresh": str(fresh).lower(),
    }
    load = run(folder, peer, script, seconds, connections)
    if fresh and tokens_used(load.requests, viewers, len(names)) > len(prefixes):
        raise LoadFault(f"{len(prefixes)} tokens did not last for {load.requests} requests: measure fewer seconds")
    return load


def tokens_used(requests: int, viewers: int, per_token: int) -> int:
    """How many tokens an audience has begun after so many requests."""
    return viewers * ((requests // viewers + per_token) // per_token + 1)


def lines(path: Path, lines: Sequence[str]) -> str:
    path.write_text("\n".join(lines) + "\n")
    return lua(str(path))


def lua(text: str) -> str:
    """A Lua string literal: JSON's is one, for ASCII."""
    return json.dumps(text)


def run(folder: Path, peer: Peer, script: str, seconds: float, connections: int) -> Load:
    path = folder / "wrk.lua"
    path.write_text(script + _DONE)
    argv = [shutil.which("wrk") or "wrk", "--threads", "1", "--connections", str(connections), "--latency"]
    argv += ["--duration", f"{max(1, round(seconds))}s", "--timeout", "10s", "--script", str(path)]
    before_s = cpu_s(peer.pid)
    done = run_tool([*argv, f"http://127.0.0.1:{peer.port}/"], timeout_s=seconds + 60)
    found = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if done.returncode != 0 or not found:
        raise LoadFault(f"wrk against {peer.name}: {(done.stderr or done.stdout).strip()[-400:]}")
    said = json.loads(found[0])
    if said.pop("failed"):
        raise LoadFault(f"{peer.name} failed requests: {done.stdout.strip()[-600:]}")
    return Load(**said, busy=(cpu_s(peer.pid) - before_s) / said["seconds"])
