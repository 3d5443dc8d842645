"""The corpus through nginx and through haproxy: proxy and edge agree on how many requests it holds, or somebody is smuggled."""

from __future__ import annotations

import pytest

from tests.conformance.http.conftest import Front, Proxy
from tests.conformance.http.corpus import CORPUS, Case
from tests.conformance.http.peer import exchange
from tests.conformance.http.test_corpus import SENTINEL
from tests.waiting import until_now

WAIT_S = 10
# What never becomes a whole request waits for the proxy's own patience, not for anything of ours.
SENT = [case for case in CORPUS if case.then != "fin"]


def agree(front: Front, proxy: Proxy, case: Case) -> None:
    """Sends `case` and one more request on a connection to the proxy, and compares what each of the two has counted."""
    seen, (taken, passed) = front.requests_seen(), proxy.taken()
    exchange(proxy.port, front.fill(case.raw) + SENTINEL, finish=False)
    said: tuple[int, int, int] = (0, 0, 0)

    def settled() -> bool:
        nonlocal said
        now_taken, now_passed = proxy.taken()
        said = (front.requests_seen() - seen, now_taken - taken, now_passed - passed)
        return said[1] > 0 and said[0] == said[2]

    until_now(settled, WAIT_S, f"edge and proxy to agree on {case.name!r}")


def agree_in_sum(front: Front, proxy: Proxy) -> None:
    """Sends them all, one after another: what comes late, or over a connection that the proxy shares, counts as well."""
    seen, (_, passed) = front.requests_seen(), proxy.taken()
    for case in SENT:
        exchange(proxy.port, front.fill(case.raw) + SENTINEL, finish=False)
    until_now(
        lambda: front.requests_seen() - seen == proxy.taken()[1] - passed, WAIT_S, "edge and proxy to agree in sum"
    )


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name[:70])
def test_behind_nginx(front: Front, nginx: Proxy, case: Case) -> None:
    agree(front, nginx, case)


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name[:70])
def test_behind_haproxy(front: Front, haproxy: Proxy, case: Case) -> None:
    agree(front, haproxy, case)


@pytest.mark.needs("nginx")
def test_all_of_it_behind_nginx(front: Front, nginx: Proxy) -> None:
    agree_in_sum(front, nginx)


@pytest.mark.needs("haproxy")
def test_all_of_it_behind_haproxy(front: Front, haproxy: Proxy) -> None:
    agree_in_sum(front, haproxy)
