"""Once a second: how late the loop is, and what was counted in plain integers, into the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from core.database import Database
from edge.api.beat_lane import BeatLane
from edge.api.door import Door
from edge.api.observe import BEATS, BREAKER_OPEN, CACHE, CACHE_EVENTS, LANE, LOOP_LAG, MEDIA_BYTES, REQUESTS, SESSIONS
from edge.hls.cache import ByteCache
from edge.hls.stored import StoredObject
from edge.lane.learned import Learned
from edge.lane.whole import Wholes
from edge.redis_client import Breaker
from edge.tokens.sessions import Sessions

PULSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """Of one web process. What the lanes do a hundred thousand times a second is only added up there."""

    cache: ByteCache[StoredObject]
    sessions: Sessions
    learned: Learned
    beat_lane: BeatLane
    wholes: Wholes
    door: Door
    breaker: Breaker
    database: Database

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PULSE_S
            await asyncio.sleep(PULSE_S)
            LOOP_LAG.set(max(0.0, loop.time() - due))
            CACHE.set(self.cache.size_bytes)
            for kind, count in (("hit", self.cache.hits), ("miss", self.cache.misses), ("joined", self.cache.joined)):
                CACHE_EVENTS.labels(kind).set(count)
            SESSIONS.set(len(self.sessions))
            BREAKER_OPEN.labels("redis").set(self.breaker.is_open)
            BREAKER_OPEN.labels("database").set(self.database.is_away)
            self.count()

    def count(self) -> None:
        """Adds what the lanes and the door have done since the last call."""
        self.door.count()
        self.learned.settle()
        for suffix, sent in self.learned.sent.items():
            if sent.answers:
                REQUESTS.labels("hls", "GET", "200").inc(sent.answers)
                LANE.labels(suffix).inc(sent.answers)
                MEDIA_BYTES.labels(suffix).inc(sent.body_bytes)
                sent.answers = sent.body_bytes = 0
        beats = self.beat_lane
        if beats.posts:
            REQUESTS.labels("progress", "POST", "204").inc(beats.posts)
            LANE.labels("progress").inc(beats.posts)
            BEATS.labels("taken").inc(beats.taken)
            beats.posts = beats.taken = 0
        if whole := self.wholes.sent.answers:
            REQUESTS.labels("rest", "GET", "200").inc(whole)
            LANE.labels("rest").inc(whole)
            self.wholes.sent.answers = self.wholes.sent.body_bytes = 0
