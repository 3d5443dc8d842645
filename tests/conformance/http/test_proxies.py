"""The corpus through nginx and through haproxy: proxy and edge agree on how many requests it holds, or somebody is smuggled."""

from __future__ import annotations

import pytest

from tests.conformance.http.case import Case
from tests.conformance.http.conftest import Proxy
from tests.conformance.http.corpus import CORPUS
from tests.conformance.http.peer import exchange
from tests.conformance.http.test_corpus import SENTINEL
from tests.waiting import until_now

WAIT_S = 60
# What never becomes a whole request waits for the proxy's own patience, not for anything of ours.
SENT = [case for case in CORPUS if case.then != "fin"]


def agree(proxy: Proxy, *cases: Case) -> None:
    """Sends `cases`, one more request after each, through the proxy, and compares what the two have counted since they started.

    Since they started, not since the last case: a request that is counted late must not look like one that was smuggled.
    """
    before, _ = proxy.taken()
    for case in cases:
        exchange(proxy.port, proxy.front.fill(case.raw) + SENTINEL, finish=False)
    counts: dict[str, int] = {}

    def settled() -> bool:
        taken, passed = proxy.taken()
        counts.update(taken=taken - before, passed=passed, seen=proxy.front.requests_seen() - proxy.front.asked)
        return counts["taken"] >= len(cases) and counts["seen"] == counts["passed"]

    try:
        until_now(settled, WAIT_S)
    except AssertionError:
        raise AssertionError(f"edge and proxy do not agree: {counts}") from None


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name[:70])
def test_behind_nginx(nginx: Proxy, case: Case) -> None:
    agree(nginx, case)


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name[:70])
def test_behind_haproxy(haproxy: Proxy, case: Case) -> None:
    agree(haproxy, case)


@pytest.mark.needs("nginx")
def test_all_of_it_behind_nginx(nginx: Proxy) -> None:
    agree(nginx, *SENT)


@pytest.mark.needs("haproxy")
def test_all_of_it_behind_haproxy(haproxy: Proxy) -> None:
    agree(haproxy, *SENT)
