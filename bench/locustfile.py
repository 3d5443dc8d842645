"""Players for locust: each asks for a grant, plays in real time with changes of quality and seeks, and sends heartbeats.

Runs in a process of its own (gevent patches everything); `bench/locust.py` starts it and reads what it leaves in BENCH_OUT.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
from locust import FastHttpUser, constant, events, task

from bench.player import BUFFER_S, Buffer, Segment, choose, read_master, read_media

SEEK_CHANCE = 0.04
LEAVE_CHANCE = 0.03
STREAMS_PER_ACCOUNT = 3

ACCOUNTS: list[dict[str, str]] = json.loads(os.environ.get("BENCH_ACCOUNTS", "[]"))
stalls = {"plays": 0, "segments": 0, "stalls": 0, "stalled_s": 0.0, "worst_late_s": 0.0}
_numbers = itertools.count()


class Gone(Exception):  # noqa: N818 - states the fact
    """What was asked for did not come: this viewing is over."""


class Player(FastHttpUser):  # type: ignore[misc]  # locust has no types
    """One person at one device."""

    wait_time = constant(1)
    connection_timeout = 10.0
    network_timeout = 10.0

    def on_start(self) -> None:
        """Signs in as one of the accounts while there are streams left to them; everybody else is a guest."""
        number = next(_numbers)
        self.device_id = f"bench-{os.getpid()}-{number}"
        config = self.client.get("/config.json", name="config").json()
        self.headers = {"apikey": config["anon_key"]}
        if number < len(ACCOUNTS) * STREAMS_PER_ACCOUNT:
            account = ACCOUNTS[number % len(ACCOUNTS)]
            credentials = {"email": account["email"], "password": account["password"]}
            answer = self.client.post(
                "/auth/v1/token?grant_type=password", json=credentials, headers=self.headers, name="sign in"
            )
            if answer.status_code == 200:
                self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.titles = self._titles()

    def _titles(self) -> list[str]:
        rows = self._rows("/rest/v1/contents?is_free=is.true&is_published=is.true&select=id&limit=100", "shelf")
        titles = [row["id"] for row in rows]
        if "Authorization" in self.headers:
            titles += [
                row["content_id"] for row in self._rows("/rest/v1/user_library?select=content_id&limit=100", "library")
            ]
        return titles

    def _rows(self, path: str, name: str) -> list[dict[str, Any]]:
        answer = self.client.get(path, headers=self.headers, name=name)
        return list(answer.json()) if answer.status_code == 200 else []

    @task  # type: ignore[untyped-decorator]
    def watch(self) -> None:
        """One viewing, from the press of play to its end or until the person has enough."""
        if not self.titles:
            return
        answer = self.client.post(
            f"/play/{random.choice(self.titles)}", json={"device_id": self.device_id}, headers=self.headers, name="play"
        )
        if answer.status_code == 200:
            with suppress(Gone):
                Viewing(self, answer.json()).run()


class Viewing:
    """One grant being played."""

    def __init__(self, player: Player, grant: dict[str, Any]) -> None:
        self.player = player
        self.grant = grant
        self.base = grant["manifest_url"].rsplit("/", 1)[0]
        self.buffer = Buffer()
        self.throughput_bps = 2e6
        self.seq = 0
        self.beat_due = time.monotonic() + grant["heartbeat"]["interval_s"]
        self.media: dict[str, tuple[Segment, ...]] = {}
        stalls["plays"] += 1

    def run(self) -> None:
        """Fetches ahead of the clock, as far as a player does."""
        master = read_master(self._get("master.m3u8", "master").decode())
        quality = choose(master.variants, self.throughput_bps)
        if master.audio_uri:
            self._open(master.audio_uri)
        self._open(master.variants[quality].uri)
        self._beat("start", 0.0)
        at = 0
        while at < len(self.media[master.variants[quality].uri]):
            wanted = choose(master.variants, self.throughput_bps)
            if wanted != quality:
                quality = wanted
                self._open(master.variants[quality].uri)
            segments = self.media[master.variants[quality].uri]
            self._fetch(master.variants[quality].uri, segments[at])
            if master.audio_uri and at < len(self.media[master.audio_uri]):
                self._get(_beside(master.audio_uri, self.media[master.audio_uri][at].uri), "audio segment")
            late_s = self.buffer.add(segments[at].duration_s, time.monotonic())
            stalls["segments"] += 1
            stalls["worst_late_s"] = max(stalls["worst_late_s"], late_s)
            at += 1
            self._play_on(sum(segment.duration_s for segment in segments[:at]))
            chance = random.random()
            if chance < LEAVE_CHANCE:
                break
            if chance < LEAVE_CHANCE + SEEK_CHANCE:
                at = random.randrange(len(segments))
                self._count()
                self.buffer.flush()
                self._beat("seek", sum(segment.duration_s for segment in segments[:at]))
        gevent.sleep(self.buffer.ahead_s(time.monotonic()))
        self._count()
        self._beat("ended" if at >= len(segments) else "pause", sum(segment.duration_s for segment in segments[:at]))

    def _count(self) -> None:
        stalls["stalls"] += self.buffer.stalls
        stalls["stalled_s"] += self.buffer.stalled_s
        self.buffer.stalls, self.buffer.stalled_s = 0, 0.0

    def _play_on(self, fetched_s: float) -> None:
        """Lets time pass until there is room for another segment, with a heartbeat whenever one is due."""
        while True:
            now = time.monotonic()
            ahead_s = self.buffer.ahead_s(now)
            if now >= self.beat_due:
                self._beat("beat", max(0.0, fetched_s - ahead_s))
                self.beat_due = now + self.grant["heartbeat"]["interval_s"]
            if ahead_s <= BUFFER_S:
                return
            gevent.sleep(min(ahead_s - BUFFER_S, max(0.01, self.beat_due - now)))

    def _open(self, uri: str) -> None:
        """Reads a media playlist and its init section, once."""
        if uri not in self.media:
            init, segments = read_media(self._get(uri, "media playlist").decode())
            if init is not None:
                self._get(_beside(uri, init), "init section")
            self.media[uri] = segments

    def _fetch(self, uri: str, segment: Segment) -> None:
        began = time.monotonic()
        body = self._get(_beside(uri, segment.uri), "video segment")
        measured = 8 * len(body) / max(1e-4, time.monotonic() - began)
        self.throughput_bps += 0.4 * (measured - self.throughput_bps)

    def _get(self, name: str, kind: str) -> bytes:
        answer = self.player.client.get(f"{self.base}/{name}", name=kind)
        if answer.status_code != 200:
            raise Gone(f"{kind}: {answer.status_code}")
        return bytes(answer.content or b"")

    def _beat(self, event: str, position_s: float) -> None:
        self.seq += 1
        beat = {
            "content_id": self.grant["content_id"],
            "position_s": round(min(position_s, self.grant["duration_s"]), 3),
            "duration_s": self.grant["duration_s"],
            "event": event,
            "seq": self.seq,
            "at": datetime.now(UTC).isoformat(),
            "watched_s": float(self.grant["heartbeat"]["interval_s"]) if event == "beat" else 0.0,
            "device_type": "web",
            "event_id": str(uuid4()),
        }
        headers = {"Authorization": f"Bearer {self.grant['token']}"}
        self.player.client.post(self.grant["heartbeat"]["url"], json=beat, headers=headers, name="heartbeat")


def _beside(playlist: str, uri: str) -> str:
    folder = playlist.rpartition("/")[0]
    return f"{folder}/{uri}" if folder else uri


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def leave_results(environment: Any, **_: Any) -> None:
    """Writes the figures where `bench/locust.py` reads them."""
    total = environment.stats.total
    kinds = {
        entry.name: {
            "requests": entry.num_requests,
            "failures": entry.num_failures,
            "bytes": entry.total_content_length,
            **{f"p{share}_ms": entry.get_response_time_percentile(share / 100) for share in (50, 95, 99)},
        }
        for entry in environment.stats.entries.values()
    }
    errors = [
        f"{error.method} {error.name}: {error.error} ({error.occurrences})"
        for error in environment.stats.errors.values()
    ]
    results = {
        "requests_per_s": total.total_rps,
        "requests": total.num_requests,
        "failures": total.num_failures,
        "kinds": kinds,
        "errors": errors,
        "playing": stalls,
    }
    Path(os.environ["BENCH_OUT"]).write_text(json.dumps(results))
