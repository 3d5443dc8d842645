"""What is counted of workers. One that a supervisor started shares its figures with the web processes of its machine, which
serve /metrics; one on a machine of its own serves them itself, at PENSTOCK_WORKER_METRICS.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from core.domain.media_tasks import Waiting

REGISTRY = CollectorRegistry()

BEGUN = Counter("penstock_attempts_begun_total", "Attempts at tasks that workers began.", ["kind"], registry=REGISTRY)
ENDED = Counter(
    "penstock_attempts_ended_total",
    "Attempts that ended: done; again (to be tried again), parked (the last try of several failed), failed (not to be tried"
    " again), cancelled; given_back (the worker was"
    " stopped), lost (another worker had taken the task over), unsaid (the database was away).",
    ["kind", "outcome"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "penstock_attempt_seconds",
    "How long attempts that were done took.",
    ["kind"],
    registry=REGISTRY,
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
AT_WORK = Gauge(
    "penstock_attempts_at_work", "Attempts under way.", ["kind"], registry=REGISTRY, multiprocess_mode="livesum"
)
SCRATCH = Gauge(
    "penstock_scratch_bytes",
    "Disk that attempts under way take on their workers' machines.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
SHORT_OF_DISK = Counter(
    "penstock_tasks_passed_on_total",
    "Tasks that a worker left to others, its scratch disk being nearly full.",
    registry=REGISTRY,
)
WAITING = Gauge(
    "penstock_tasks_waiting",
    "Tasks that wait for a worker, by their jobs' priority: high, usual, low.",
    ["priority"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
OLDEST = Gauge(
    "penstock_tasks_oldest_seconds",
    "How long the oldest of them has waited.",
    ["priority"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
PRIORITIES = ("high", "usual", "low")


def show_waiting(found: Iterable[Waiting]) -> None:
    """Sets the queue's figures, over all tenants; what is not in `found` is empty."""
    every = list(found)
    for priority in PRIORITIES:
        here = [one for one in every if one.priority == priority]
        WAITING.labels(priority).set(sum(one.count for one in here))
        OLDEST.labels(priority).set(max((one.oldest_s for one in here), default=0.0))


def serve(address: tuple[str, int] | None) -> int | None:
    """Serves the figures at `address` from a thread; its port, or None when a web process serves them. Raises OSError."""
    if address is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return None
    server, _ = start_http_server(address[1], address[0], registry=REGISTRY)
    return int(server.server_port)
