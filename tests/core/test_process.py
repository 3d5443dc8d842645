"""Children: whoever gives one up gets its turn back, and leaves no process behind, at whichever moment it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from core.process import running
from tests.waiting import until, until_now

# More than a start takes on either loop: the last ones are given up while the child runs.
TURNS = 20
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
# As bubblewrap does it: what was started holds the pipes too, and outlives the one that is known by its pid.
FAMILY = ["sh", "-c", "sleep 1000 & wait"]


def on(loop: str, scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario())


def children(pid: str = "self") -> set[str]:
    """Pids of the processes that all threads of `pid` started and nobody has waited for."""
    return {
        child for listed in Path(f"/proc/{pid}/task").glob("*/children") for child in listed.read_text("ascii").split()
    }


def is_running(pid: str) -> bool:
    """Whether more is left of it than its number, which whoever inherits it may take a while to look at."""
    try:
        return Path("/proc", pid, "stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_child_is_given_up_at_every_turn_of_its_start(loop: str, times: int) -> None:
    """A start that asyncio ends by itself kills one process and waits for the pipes of all: for good, where another holds them."""

    async def use() -> None:
        async with running(FAMILY) as child:
            await child.wait()

    async def scenario() -> None:
        before = children()
        for turns in range(TURNS):
            user = asyncio.create_task(use())
            for _ in range(turns):
                await asyncio.sleep(0)
            family = children() - before
            for pid in family:
                # The loop stands still meanwhile: the start stays where it is.
                until_now(lambda pid=pid: children(pid), 60)  # type: ignore[misc]
            members = family.union(*map(children, family))
            for _ in range(times):
                user.cancel()
                await asyncio.sleep(0)
            done, _ = await asyncio.wait((user,), timeout=60)
            assert done, f"given up after {turns} turns of the loop, it never came back"
            assert user.cancelled()
            await until(lambda: not any(map(is_running, members)), 60, "all of it has ended")  # noqa: B023
            await until(lambda: len(asyncio.all_tasks()) == 1, 60, "who was given up twice left the rest to others")

    on(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_is_not_there_is_told(loop: str) -> None:
    async def scenario() -> None:
        with pytest.raises(FileNotFoundError):
            async with running(["/nowhere/at/all"]):
                pass

    on(loop, scenario)
