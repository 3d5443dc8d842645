"""The negative control of test_restart.py: the same load and the same counting, and a restart that does it wrong.

Here each web process has a listening socket of its own, as one has that opens its port itself: it goes with the process.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from core.process import die_with_parent
from core.settings import ROOT
from edge.local.valkey import EmbeddedValkey
from tests.conformance.http.conftest import Front, running_front, serving
from tests.conftest import Servers
from tests.faults.load import Load, get, running_load
from tests.waiting import until

WAIT_S = 60
CLIENTS, EVERY_S = 20, 0.04
REFUSED = "ConnectionRefusedError"


@contextmanager
def successor(front: Front, environment: dict[str, str]) -> Iterator[None]:
    """Another web process on the port that the first one had."""
    listening = socket.create_server(("127.0.0.1", front.port), backlog=1024)
    fd = listening.fileno()
    with front.log.open("ab") as log:
        process = subprocess.Popen(
            serving(fd),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(fd,),
            preexec_fn=die_with_parent(),
            cwd=ROOT,
        )
    listening.close()
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)


async def restart_carelessly(front: Front) -> Load:
    url = f"http://127.0.0.1:{front.port}"
    environment = psutil.Process(front.process.pid).environ()
    async with running_load(url, [([get(url, "/healthz")], EVERY_S)] * CLIENTS) as load:
        await until(lambda: load.total > 10 * CLIENTS, WAIT_S, "the load to be under way")
        assert load.failures == []
        front.process.terminate()
        await until(lambda: front.process.poll() is not None, WAIT_S, "the old process to have left")
        # The port is nobody's for as long as a new process takes to come; however short, somebody asks meanwhile.
        await until(lambda: any(REFUSED in failure for failure in load.failures), WAIT_S, "somebody to be refused")
        with successor(front, environment):
            goal = load.total + 10 * CLIENTS
            await until(lambda: load.total > goal, WAIT_S, "the load to go on")
    return load


def test_a_socket_that_goes_with_its_process_is_noticed(servers: Servers, valkey: EmbeddedValkey) -> None:
    with running_front(servers, valkey) as front:
        load = asyncio.run(restart_carelessly(front))
    assert load.failures != []
    assert set(load.answered) == {200}
