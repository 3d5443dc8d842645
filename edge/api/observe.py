"""What can be observed of the edge: one closed list of metrics, bounded labels, no ids and no tokens in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log = structlog.get_logger("access")

REQUEST_ID = web.RequestKey("request_id", str)
SEALED = web.RequestKey("sealed", bool)
"""Set by a handler whose answer is complete: nothing may be added to it on the way out."""
SENT_AWAY = web.RequestKey("sent_away", bool)
"""Refused for want of room: counted, and not logged one by one."""

Answered = Callable[[int, float], None]
ANSWERED: web.RequestKey[Answered] = web.RequestKey("answered", object)  # type: ignore[arg-type]  # a callable has no class
"""Whoever must be told the status of the answer and the seconds it took."""

REGISTRY = CollectorRegistry()

REQUESTS = Counter("penstock_requests_total", "Requests answered.", ["area", "method", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "penstock_request_seconds",
    "Time to an answer's headers.",
    ["area"],
    registry=REGISTRY,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
MEDIA_BYTES = Counter("penstock_media_bytes_total", "Bytes of media handed to the socket.", ["kind"], registry=REGISTRY)
LANE = Counter("penstock_lane_answers_total", "Answers given by the fast lane.", ["kind"], registry=REGISTRY)
BEATS = Counter("penstock_beats_total", "Heartbeats by outcome.", ["outcome"], registry=REGISTRY)
PLAYS = Counter("penstock_plays_total", "Answers of /play by outcome.", ["outcome"], registry=REGISTRY)
CACHE = Gauge("penstock_cache_bytes", "Bytes in the media cache.", registry=REGISTRY, multiprocess_mode="livesum")
CACHE_EVENTS = Gauge(
    "penstock_cache_events",
    "Look-ups in the media cache since start.",
    ["kind"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
SESSIONS = Gauge(
    "penstock_sessions",
    "Playback sessions, as web processes know them.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
LOOP_LAG = Gauge(
    "penstock_loop_lag_seconds", "How late the latest event loop is.", registry=REGISTRY, multiprocess_mode="livemax"
)
BREAKER_OPEN = Gauge(
    "penstock_breaker_open",
    "1 while some web process refuses calls to a dependency.",
    ["dependency"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
SHED = Counter(
    "penstock_shed_total", "Requests sent away because too many were under way.", ["kind"], registry=REGISTRY
)
CMCD_REPORTS = Counter(
    "penstock_cmcd_requests_total", "Requests with CMCD, by whether it could be read.", ["outcome"], registry=REGISTRY
)
CMCD_STARVED = Counter(
    "penstock_cmcd_starved_total", "Requests of players whose buffer had run empty since the last.", registry=REGISTRY
)
CMCD_STARTUPS = Counter(
    "penstock_cmcd_startup_total", "Requests of players that start, seek or recover.", registry=REGISTRY
)
CMCD_BITRATE = Histogram(
    "penstock_cmcd_bitrate_kbps",
    "Encoded bitrate of what players asked for.",
    registry=REGISTRY,
    buckets=(64, 150, 300, 600, 1000, 2000, 3500, 5000, 8000, 12000, 20000, 40000),
)
CMCD_THROUGHPUT = Histogram(
    "penstock_cmcd_throughput_kbps",
    "Throughput that players measured.",
    registry=REGISTRY,
    buckets=(300, 600, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 500000),
)
CMCD_BUFFER = Histogram(
    "penstock_cmcd_buffer_seconds",
    "What players had in their buffer when they asked.",
    registry=REGISTRY,
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120),
)

_AREA = re.compile(
    r"^/(hls|play|progress|me|rest|auth|storage|healthz|readyz|metrics|assets|docs|openapi\.json|config\.json)(?=/|$)"
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""All that are served; any other is one label."""


@lru_cache(2048)
def area_of(path: str) -> str:
    """The first word of a path, from a closed list: a label must not grow with what strangers ask for."""
    match = _AREA.match(path)
    return match.group(1) if match else "page"


@lru_cache(4096)
def _series(area: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Finding them by their labels takes longer than counting."""
    return REQUESTS.labels(area, method, str(status)), SECONDS.labels(area)


def observe_request(request: web.Request, status: int, seconds: float) -> None:
    """Counts one answer; an unsuccessful one outside media is also logged."""
    area = area_of(request.path)
    method = request.method if request.method in METHODS else "other"
    answers, took = _series(area, method, status)
    answers.inc()
    took.observe(seconds)
    if (answered := request.get(ANSWERED)) is not None:
        answered(status, seconds)
    if status < 400 or SENT_AWAY in request:
        return
    if status >= 500 or area in ("auth", "play", "storage"):
        log.info(
            "answered",
            request_id=request[REQUEST_ID],
            area=area,
            method=method,
            status=status,
            ms=round(seconds * 1000, 1),
            remote=request.remote,
        )
