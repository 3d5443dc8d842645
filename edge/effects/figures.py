"""What is counted of deliveries. The deliverer shares its figures with the web processes of its machine, which serve /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

DELIVERIES = Counter(
    "penstock_deliveries_total",
    "Effects and webhook deliveries by outcome: done, again, dead.",
    ["line", "outcome"],
    registry=REGISTRY,
)
WAITING = Gauge(
    "penstock_deliveries_waiting", "Not delivered yet.", ["line"], registry=REGISTRY, multiprocess_mode="livemax"
)
GIVEN_UP = Gauge(
    "penstock_deliveries_given_up",
    "Given up and not yet looked at: `penstock outbox`.",
    ["line"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
OLDEST = Gauge(
    "penstock_deliveries_oldest_seconds",
    "How long the oldest has waited.",
    ["line"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
