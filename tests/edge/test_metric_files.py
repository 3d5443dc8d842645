"""What a dead process counted stays counted, once, in files whose number does not grow."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from core.settings import ROOT
from edge.metric_files import fold, whole
from tests.running import environment
from tests.waiting import until_now

_COUNT = """
import sys
from edge.api.observe import CACHE, REQUESTS, SECONDS
for _ in range(int(sys.argv[1])):
    REQUESTS.labels("hls", "GET", "200").inc()
    SECONDS.labels("hls").observe(0.003)
CACHE.set(5)
"""


def live_and_die(folder: Path, counts: Sequence[int]) -> list[int]:
    """Processes that count so many requests each, all of them gone again; their ids."""
    env = environment({"PROMETHEUS_MULTIPROC_DIR": str(folder)})
    started = [
        subprocess.Popen([sys.executable, "-c", _COUNT, str(count)], env=env, stdin=subprocess.DEVNULL, cwd=ROOT)
        for count in counts
    ]
    assert [process.wait(60) for process in started] == [0] * len(counts)
    return [process.pid for process in started]


def scraped(folder: Path) -> dict[str, float]:
    """Every sample, by its name and labels."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    with whole(folder):
        text = generate_latest(registry).decode()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()) if name[0] != "#"
    }


REQUESTS = 'penstock_requests_total{area="hls",method="GET",status="200"}'
SUM = 'penstock_request_seconds_sum{area="hls"}'
BUCKET = 'penstock_request_seconds_bucket{area="hls",le="0.005"}'


def test_nothing_that_was_counted_is_lost_or_counted_twice(tmp_path: Path) -> None:
    pids = live_and_die(tmp_path, (3, 5, 7, 0))
    before = scraped(tmp_path)
    assert before[REQUESTS] == 15
    for pid in pids:
        fold(tmp_path, pid)
        now = scraped(tmp_path)
        assert (now[REQUESTS], now[BUCKET]) == (15, 15)
        assert now[SUM] == pytest.approx(before[SUM])
    assert now.get("penstock_cache_bytes", 0) == 0, "nobody holds anything any more"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_departed.db", "histogram_departed.db"]


def test_counts_never_go_backwards_for_somebody_who_looks_meanwhile(tmp_path: Path) -> None:
    pids = live_and_die(tmp_path, (400,) * 6)
    seen: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(scraped(tmp_path)[REQUESTS])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        until_now(lambda: seen, 60)
        for pid in pids:
            fold(tmp_path, pid)
    finally:
        done.set()
        looking.join()
    assert set(seen) == {2400.0}


def test_a_process_that_left_nothing_is_nothing(tmp_path: Path) -> None:
    (pid,) = live_and_die(tmp_path, (1,))
    fold(tmp_path, pid)
    fold(tmp_path, pid)
    assert scraped(tmp_path)[REQUESTS] == 1
