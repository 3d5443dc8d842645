"""The load: wrk posts the heartbeats of many players, each post with the next player's token, whatever connection is free.

As through a proxy, and as a browser does with its several connections: no connection has a player of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from bench.peers import Peer
from bench.wrk import Load, lines, lua, run

CONNECTIONS = 256
PACED_CONNECTIONS = 1024
"""When they wait between two posts. The wait for an answer comes on top, so the rate that is reached lies below that asked for."""
# Chromium's fetch() from a page of the same origin, in its order; %d and the token are filled in.
_HEAD = (
    "POST /progress HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\nContent-Length: ",
    '\r\nsec-ch-ua-platform: "Linux"\r\nAuthorization: Bearer ',
    "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36\r\n"
    'sec-ch-ua: "Not;A=Brand";v="8", "Chromium";v="150"\r\nContent-Type: application/json\r\nsec-ch-ua-mobile: ?0\r\n'
    "Accept: */*\r\nOrigin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\nReferer: http://127.0.0.1:{port}/watch/0199a0b2-7c11-7d2e-9f00-5a3c1f2e4b6d\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n",
)
_BEAT = (
    '{"content_id":"%(film)s","position_s":%%d.25,"duration_s":600.0,"event":"beat","seq":%%d,"at":"%(at)s",'
    '"watched_s":5.0,"device_type":"web","event_id":"%(run)s-%%04x-4000-8000-%%012x"}'
)

# No event twice: the run's own number, the player's, and its count.
_POSTS = """
local tokens, sent, n, size = {}, {}, 0, %(size)d
for line in io.lines(%(tokens)s) do
  tokens[#tokens + 1] = %(before)s .. line .. %(after)s
  sent[#sent + 1] = 0
end
local start, beat, format = %(start)s, %(beat)s, string.format
local function one(player)
  local seq = sent[player] + 1
  sent[player] = seq
  return format(beat, seq %% 600, seq, player, seq)
end
request = function()
  n = n %% #tokens + 1
  local body
  if size == 1 then
    body = one(n)
  else
    local beats = {}
    for i = 1, size do beats[i] = one(n) end
    body = "[" .. table.concat(beats, ",") .. "]"
  end
  return start .. #body .. tokens[n] .. body
end
"""

# See bench/wrk.py: people who each wait a while, on their own.
_APART = """
math.randomseed(1)
delay = function() return math.floor(-%(mean_ms)f * math.log(1 - math.random()) + math.random()) end
"""


def beat_away(
    folder: Path, peer: Peer, tokens: Sequence[str], film: UUID, *, size: int, seconds: float, posts_per_s: float = 0
) -> Load:
    """Posts of `size` beats: the next when one is acknowledged, or about `posts_per_s` of them at random moments.

    Raises LoadFault when one was not answered 204.
    """
    before, middle, after = (part.replace("{port}", str(peer.port)) for part in _HEAD)
    beat = _BEAT % {
        "film": film,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "run": secrets.token_hex(4),
    }
    script = _POSTS % {
        "size": size,
        "tokens": lines(folder / "tokens", tokens),
        "before": lua(middle),
        "after": lua(after),
        "start": lua(before),
        "beat": lua(beat),
    }
    connections = CONNECTIONS
    if posts_per_s:
        connections = PACED_CONNECTIONS
        script += _APART % {"mean_ms": connections / posts_per_s * 1000}
    return run(folder, peer, script, seconds, connections)
